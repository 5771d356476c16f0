// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/cgroup_plan.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "guest/agent/cgroup/cpu_list.h"

namespace kata::guest {
namespace {

class Planner {
 public:
  Planner(const oci::LinuxResources& resources, const std::vector<int>& cpus)
      : resources_(resources), cpus_(cpus) {}

  Result<std::vector<CgroupWrite>> Plan() {
    if (resources_.has_memory()) KATA_TRY(PlanMemory(resources_.memory()));
    if (resources_.has_cpu()) KATA_TRY(PlanCpu(resources_.cpu()));
    if (resources_.has_pids()) PlanPids(resources_.pids());
    if (resources_.has_block_io()) PlanIo(resources_.block_io());
    KATA_TRY(PlanHugePages());
    KATA_TRY(PlanUnified());
    return std::move(writes_);
  }

 private:
  void Add(std::string file, std::string value, bool optional = false) {
    writes_.push_back({std::move(file), std::move(value), optional});
  }

  static std::string Limit(int64_t value) { return value < 0 ? "max" : fmt::to_string(value); }

  Result<void> PlanMemory(const oci::LinuxMemory& memory) {
    // Version 1 counts memory and swap together, version 2 swap alone.
    if (memory.swap() > 0) {
      if (memory.limit() <= 0) {
        return Fail(Code::kInvalidArgument, "memory: a swap limit needs a memory limit beside it");
      }
      if (memory.swap() < memory.limit()) {
        return Fail(Code::kInvalidArgument,
                    fmt::format("memory: the limit of memory and swap together ({}) is below that "
                                "of memory ({})",
                                memory.swap(), memory.limit()));
      }
      Add("memory.swap.max", fmt::to_string(memory.swap() - memory.limit()), true);
    } else if (memory.swap() < 0 || memory.limit() < 0) {
      Add("memory.swap.max", "max", true);
    }
    if (memory.limit() != 0) Add("memory.max", Limit(memory.limit()));
    if (memory.reservation() != 0) Add("memory.low", Limit(memory.reservation()));
    return {};
  }

  Result<void> PlanCpu(const oci::LinuxCPU& cpu) {
    if (const uint64_t weight = WeightFromShares(cpu.shares()); weight != 0) {
      Add("cpu.weight", fmt::to_string(weight));
    }
    if (cpu.quota() != 0 || cpu.period() != 0) {
      // Without a period in it the period stays.
      const std::string period = cpu.period() != 0 ? fmt::format(" {}", cpu.period()) : "";
      Add("cpu.max", (cpu.quota() > 0 ? Limit(cpu.quota()) : "max") + period);
    }
    // After the quota, which it must not exceed.
    if (cpu.has_burst()) Add("cpu.max.burst", fmt::to_string(cpu.burst()));
    if (cpu.has_idle()) Add("cpu.idle", fmt::to_string(cpu.idle()));
    if (!cpu.cpus().empty()) {
      const std::vector<int> wanted = KATA_TRY_WITHIN("cpu.cpus", ParseCpuList(cpu.cpus()));
      Add("cpuset.cpus", FormatCpuList(FitCpus(wanted, cpus_)));
    }
    return {};
  }

  void PlanPids(const oci::LinuxPids& pids) {
    // A limit of 0 is one, and the kernel's smallest that says so is 1, as runc since 1.4 has it.
    if (pids.has_limit()) Add("pids.max", pids.limit() == 0 ? "1" : Limit(pids.limit()));
  }

  void PlanIo(const oci::LinuxBlockIO& io) {
    // The weight files exist only with a scheduler that has weights.
    if (const uint64_t weight = WeightFromBlkio(io.weight()); weight != 0) {
      Add("io.weight", fmt::format("default {}", weight), true);
      Add("io.bfq.weight", fmt::format("default {}", io.weight()), true);
    }
    for (const auto& device : io.weight_device()) {
      if (device.weight() == 0) continue;
      const std::string number = fmt::format("{}:{}", device.major(), device.minor());
      Add("io.weight", fmt::format("{} {}", number, WeightFromBlkio(device.weight())), true);
      Add("io.bfq.weight", fmt::format("{} {}", number, device.weight()), true);
    }
    const auto throttle = [this](std::string_view key, const auto& devices) {
      for (const auto& device : devices) {
        const std::string rate = device.rate() == 0 ? "max" : fmt::to_string(device.rate());
        Add("io.max", fmt::format("{}:{} {}={}", device.major(), device.minor(), key, rate));
      }
    };
    throttle("rbps", io.throttle_read_bps_device());
    throttle("wbps", io.throttle_write_bps_device());
    throttle("riops", io.throttle_read_iops_device());
    throttle("wiops", io.throttle_write_iops_device());
  }

  Result<void> PlanHugePages() {
    for (const auto& page : resources_.hugepage_limits()) {
      KATA_TRY(CheckFileName("hugepage size", page.pagesize()));
      Add(fmt::format("hugetlb.{}.max", page.pagesize()), fmt::to_string(page.limit()));
      Add(fmt::format("hugetlb.{}.rsvd.max", page.pagesize()), fmt::to_string(page.limit()), true);
    }
    return {};
  }

  Result<void> PlanUnified() {
    // Protobuf maps have no order, writes should.
    const std::map<std::string, std::string> sorted(resources_.unified().begin(),
                                                    resources_.unified().end());
    for (const auto& [file, value] : sorted) {
      KATA_TRY(CheckFileName("unified", file));
      if (file.find('.') == std::string::npos || file.starts_with("cgroup.")) {
        return Fail(Code::kInvalidArgument,
                    fmt::format("the specified key has not the form CONTROLLER.VALUE `{}`", file));
      }
      // Files such as io.max take one device a write.
      for (size_t begin = 0; begin <= value.size();) {
        const size_t end = std::min(value.find('\n', begin), value.size());
        if (end > begin) Add(file, value.substr(begin, end - begin));
        begin = end + 1;
      }
    }
    return {};
  }

  static Result<void> CheckFileName(std::string_view what, std::string_view name) {
    if (name.empty() || name.size() > 128 || name.find('/') != std::string_view::npos ||
        name.find('\0') != std::string_view::npos) {
      return Fail(Code::kInvalidArgument, fmt::format("{}: \"{}\" is not a name", what, name));
    }
    return {};
  }

  const oci::LinuxResources& resources_;
  const std::vector<int>& cpus_;
  std::vector<CgroupWrite> writes_;
};

}  // namespace

uint64_t WeightFromShares(uint64_t shares) {
  if (shares <= 2) return shares == 0 ? 0 : 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  return static_cast<uint64_t>(std::ceil(std::pow(10.0, (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0)));
}

uint64_t WeightFromBlkio(uint64_t weight) {
  if (weight == 0) return 0;
  return 1 + (std::clamp<uint64_t>(weight, 10, 1000) - 10) * 9999 / 990;
}

Result<std::vector<CgroupWrite>> PlanCgroup(const oci::LinuxResources& resources,
                                            const std::vector<int>& cpus) {
  return Planner(resources, cpus).Plan();
}

std::string PlanCgroupPath(std::string_view cgroups_path, std::string_view id) {
  std::string unscoped(cgroups_path);
  if (const size_t first = unscoped.find(':'); first != std::string::npos) {
    const size_t second = unscoped.find(':', first + 1);
    if (second != std::string::npos) {
      const std::string slice = unscoped.substr(0, first);
      const std::string prefix = unscoped.substr(first + 1, second - first - 1);
      const std::string name = unscoped.substr(second + 1);
      unscoped = fmt::format("{}/{}{}{}.scope", slice, prefix, prefix.empty() ? "" : "-", name);
    }
  }
  std::string path;
  for (size_t begin = 0; begin < unscoped.size();) {
    const size_t end = std::min(unscoped.find('/', begin), unscoped.size());
    const std::string_view part = std::string_view(unscoped).substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == "." || part == "..") continue;
    if (!path.empty()) path += '/';
    path += part;
  }
  return path.empty() ? std::string(id) : path;
}

}  // namespace kata::guest
