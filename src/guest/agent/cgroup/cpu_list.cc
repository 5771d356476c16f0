// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/cpu_list.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include <fmt/format.h>

namespace kata::guest {
namespace {

constexpr int kMaxCpus = 8192;

}  // namespace

Result<std::vector<int>> ParseCpuList(std::string_view list) {
  const auto refuse = [&] {
    return Fail(Code::kInvalidArgument,
                fmt::format("\"{}\" is not a list of processors", list.substr(0, 60)));
  };
  std::vector<bool> named(kMaxCpus);
  const char* at = list.data();
  const char* const end = at + list.size();
  const auto number = [&](int* out) {
    const auto [stop, error] = std::from_chars(at, end, *out);
    at = stop;
    return error == std::errc() && *out >= 0 && *out < kMaxCpus;
  };
  while (at < end) {
    int first = 0;
    if (!number(&first)) return refuse();
    int last = first;
    if (at < end && *at == '-') {
      ++at;
      if (!number(&last) || last < first) return refuse();
    }
    std::fill(named.begin() + first, named.begin() + last + 1, true);
    if (at < end && *at == '\n' && at + 1 == end) break;
    if (at < end && (*at != ',' || ++at == end)) return refuse();
  }
  std::vector<int> cpus;
  for (int i = 0; i < kMaxCpus; ++i) {
    if (named[static_cast<size_t>(i)]) cpus.push_back(i);
  }
  return cpus;
}

std::string FormatCpuList(const std::vector<int>& cpus) {
  std::string list;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!list.empty()) list += ',';
    list += fmt::to_string(cpus[i]);
    if (last > i) list += fmt::format("-{}", cpus[last]);
    i = last + 1;
  }
  return list;
}

std::vector<int> FitCpus(const std::vector<int>& wanted, const std::vector<int>& available) {
  std::vector<int> fit;
  std::ranges::set_intersection(wanted, available, std::back_inserter(fit));
  for (const int cpu : available) {
    if (fit.size() >= wanted.size()) break;
    if (!std::ranges::binary_search(wanted, cpu)) fit.push_back(cpu);
  }
  std::ranges::sort(fit);
  return fit;
}

std::vector<int> AvailableCpus() {
  cpu_set_t* const set = CPU_ALLOC(kMaxCpus);
  const size_t size = CPU_ALLOC_SIZE(kMaxCpus);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, size, set) == 0) {
    for (int i = 0; i < kMaxCpus; ++i) {
      if (CPU_ISSET_S(i, size, set)) cpus.push_back(i);
    }
  }
  CPU_FREE(set);
  return cpus;
}

}  // namespace kata::guest
