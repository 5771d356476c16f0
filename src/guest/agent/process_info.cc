// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/process_info.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxCommand = 1024;
constexpr size_t kMaxName = 64;
constexpr size_t kMaxCommandLine = 1 << 20;
constexpr size_t kMaxBeginning = 4096;

// When the machine was booted, in seconds since 1970.
uint64_t BootTime() {
  timespec now{};
  timespec up{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return static_cast<uint64_t>(std::max<time_t>(0, now.tv_sec - up.tv_sec));
}

// Of a device number as /proc shows it, for the kinds that a container can have.
std::string TerminalName(unsigned number) {
  const unsigned major = (number >> 8) & 0xfff;
  const unsigned minor = (number & 0xff) | ((number >> 12) & 0xfff00);
  constexpr unsigned kFirstPts = 136;
  constexpr unsigned kLastPts = 143;
  if (major >= kFirstPts && major <= kLastPts) {
    return fmt::format("pts/{}", (major - kFirstPts) * 256 + minor);
  }
  if (major == 5 && minor == 1) return "console";
  return number == 0 ? "" : "?";
}

std::string Beginning(const std::string& path) {
  std::string text = sys::ReadFile(path, kMaxCommandLine).value_or("");
  text.resize(std::min(text.size(), kMaxBeginning));
  return text;
}

std::string CommandOf(const std::string& directory, const std::string& name) {
  std::string words = sys::ReadFile(directory + "/cmdline", kMaxCommandLine).value_or("");
  while (words.ends_with('\0')) words.pop_back();
  words.resize(std::min(words.size(), kMaxCommand));
  std::replace(words.begin(), words.end(), '\0', ' ');
  return words.empty() ? fmt::format("[{}]", name) : words;
}

}  // namespace

void FillProcessInfo(pid_t pid, GuestProcess& process) {
  const std::string directory = fmt::format("/proc/{}", pid);
  const auto text = sys::ReadFile(directory + "/stat", 4096);
  if (!text) return;
  // The name is in brackets and may hold anything, brackets too.
  const size_t open = text->find('(');
  const size_t close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return;
  char state = '?';
  unsigned parent = 0;
  int group = 0;
  int session = 0;
  unsigned terminal = 0;
  int foreground = 0;
  int nice = 0;
  int threads = 1;
  unsigned long long user = 0;
  unsigned long long system = 0;
  unsigned long long started = 0;
  // Fields 3 to 22: state, ppid, pgrp, session, tty_nr, tpgid, ... utime (14), stime (15), ...
  // nice (19), num_threads (20), ... starttime (22).
  const int read = std::sscanf(text->c_str() + close + 1,
                               " %c %u %d %d %u %d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %d %d "
                               "%*d %llu",
                               &state, &parent, &group, &session, &terminal, &foreground, &user,
                               &system, &nice, &threads, &started);
  if (read != 11) return;
  const auto ticks = static_cast<uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  process.set_parent(parent);
  process.set_cpu_seconds((user + system) / ticks);
  process.set_started(BootTime() + started / ticks);
  const std::string name = text->substr(open + 1, std::min(close - open - 1, kMaxName));
  process.set_name(name);
  process.set_command(CommandOf(directory, name));
  process.set_terminal(TerminalName(terminal));
  std::string status(1, state);
  if (nice != 0) status += nice < 0 ? '<' : 'N';
  if (session == pid) status += 's';
  if (threads > 1) status += 'l';
  if (group == foreground) status += '+';
  process.set_status(status);
  struct stat owner{};
  if (::stat(directory.c_str(), &owner) == 0) process.set_uid(owner.st_uid);
}

void FillFiles(pid_t pid, GuestProcess& process) {
  const std::string directory = fmt::format("/proc/{}", pid);
  process.set_stat_file(Beginning(directory + "/stat"));
  process.set_status_file(Beginning(directory + "/status"));
  process.set_command_file(Beginning(directory + "/cmdline"));
}

}  // namespace kata::guest
