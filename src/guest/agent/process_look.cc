// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/process_look.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "sys/file.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxCommand = 1024;
constexpr size_t kMaxCommandLine = 1 << 20;

// When the machine was booted, in seconds since 1970.
uint64_t BootTime() {
  timespec now{};
  timespec up{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return static_cast<uint64_t>(std::max<time_t>(0, now.tv_sec - up.tv_sec));
}

std::string CommandOf(const std::string& directory, const std::string& name) {
  std::string words = sys::ReadFile(directory + "/cmdline", kMaxCommandLine).value_or("");
  while (words.ends_with('\0')) words.pop_back();
  words.resize(std::min(words.size(), kMaxCommand));
  std::replace(words.begin(), words.end(), '\0', ' ');
  return words.empty() ? fmt::format("[{}]", name) : words;
}

}  // namespace

void FillLook(pid_t pid, GuestProcess& process) {
  const std::string directory = fmt::format("/proc/{}", pid);
  const auto text = sys::ReadFile(directory + "/stat", 4096);
  if (!text) return;
  // The name is in brackets and may hold anything, brackets too.
  const size_t open = text->find('(');
  const size_t close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return;
  unsigned parent = 0;
  unsigned long long user = 0;
  unsigned long long system = 0;
  unsigned long long started = 0;
  // Fields 3 to 22: state, ppid, ... utime (14), stime (15), ... starttime (22).
  const int read = std::sscanf(text->c_str() + close + 1,
                               " %*c %u %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d "
                               "%*d %*d %*d %llu",
                               &parent, &user, &system, &started);
  if (read != 4) return;
  const auto ticks = static_cast<uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  process.set_parent(parent);
  process.set_cpu_seconds((user + system) / ticks);
  process.set_started(BootTime() + started / ticks);
  process.set_command(CommandOf(directory, text->substr(open + 1, close - open - 1)));
  struct stat owner{};
  if (::stat(directory.c_str(), &owner) == 0) process.set_uid(owner.st_uid);
}

}  // namespace kata::guest
