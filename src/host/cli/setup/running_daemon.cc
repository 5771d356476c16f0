// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/running_daemon.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <climits>
#include <memory>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::cli::setup {
namespace {

constexpr auto kRestartTime = std::chrono::seconds(120);
constexpr size_t kMaxProcText = 1 << 20;
constexpr size_t kMaxProgramText = 4 << 20;
// Where daemons are when $PATH is a user's, and where containerd looks when it has none.
constexpr std::string_view kSystemPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string ReadLink(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  return size <= 0 ? "" : std::string(target, static_cast<size_t>(size));
}

std::vector<std::string> ZeroSeparated(const std::string& path) {
  std::vector<std::string> words;
  const std::string text = sys::ReadFile(path, kMaxProcText).value_or("");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\0', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool SharesNamespaces(const std::string& proc) {
  for (const char* name : {"/ns/pid", "/ns/user"}) {
    const std::string own = ReadLink(std::string("/proc/self") + name);
    if (own.empty() || own != ReadLink(proc + name)) return false;
  }
  return true;
}

std::string ParentName(const std::string& proc) {
  const std::string status = sys::ReadFile(proc + "/status", kMaxProcText).value_or("");
  constexpr std::string_view kField = "\nPPid:\t";
  const size_t at = status.find(kField);
  if (at == status.npos) return "";
  const size_t begin = at + kField.size();
  const std::string pid = status.substr(begin, status.find('\n', begin) - begin);
  const auto words = ZeroSeparated(fmt::format("/proc/{}/cmdline", pid));
  return words.empty() ? "" : std::string(BaseName(words.front()));
}

RunningDaemon Describe(pid_t pid, std::vector<std::string> argv) {
  const std::string proc = fmt::format("/proc/{}", pid);
  RunningDaemon daemon{.pid = pid,
                       .argv = std::move(argv),
                       .program = ReadLink(proc + "/exe"),
                       .path = std::string(kSystemPath),
                       .parent = ParentName(proc)};
  if (::access(daemon.program.c_str(), X_OK) != 0) daemon.program.clear();
  for (const std::string& variable : ZeroSeparated(proc + "/environ")) {
    if (variable.starts_with("PATH=")) daemon.path = variable.substr(5);
  }
  return daemon;
}

std::string ReadWritten(int fd) {
  if (::lseek(fd, 0, SEEK_SET) != 0) return "";
  return sys::ReadToEnd(fd, kMaxProgramText).value_or("");
}

}  // namespace

std::vector<RunningDaemon> FindDaemons(std::string_view name) {
  std::vector<RunningDaemon> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc"), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const std::string_view number = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), pid);
    if (error != std::errc() || *end != '\0') continue;
    const std::string proc = fmt::format("/proc/{}", pid);
    auto argv = ZeroSeparated(proc + "/cmdline");
    if (argv.empty() || BaseName(argv.front()) != name || !SharesNamespaces(proc)) continue;
    found.push_back(Describe(pid, std::move(argv)));
  }
  return found;
}

std::vector<std::string> FlagValues(const std::vector<std::string>& argv, std::string_view name,
                                    char letter) {
  std::vector<std::string> values;
  const std::string long_form = fmt::format("--{}", name);
  const std::string short_form = letter == '\0' ? "" : fmt::format("-{}", letter);
  for (size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word == long_form || (letter != '\0' && word == short_form)) {
      if (i + 1 < argv.size()) values.push_back(argv[++i]);
    } else if (word.starts_with(long_form + "=")) {
      values.push_back(word.substr(long_form.size() + 1));
    } else if (letter != '\0' && word.starts_with(short_form) && word.size() > 2) {
      values.push_back(word.substr(word[2] == '=' ? 3 : 2));
    }
  }
  return values;
}

std::optional<std::string> FlagValue(const std::vector<std::string>& argv, std::string_view name,
                                     char letter) {
  const auto values = FlagValues(argv, name, letter);
  if (values.empty()) return std::nullopt;
  return values.back();
}

bool IsInPath(const std::string& path, std::string_view name) {
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::string file = fmt::format("{}/{}", path.substr(begin, end - begin), name);
    if (file.starts_with("/") && ::access(file.c_str(), X_OK) == 0) return true;
    begin = end + 1;
  }
  return false;
}

std::string FindDaemonProgram(std::string_view name) {
  if (const auto found = sys::FindExecutable(name)) return *found;
  const std::string_view path = kSystemPath;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::string file = fmt::format("{}/{}", path.substr(begin, end - begin), name);
    if (::access(file.c_str(), X_OK) == 0) return file;
    begin = end + 1;
  }
  return "";
}

bool IsSameFile(const std::string& a, const std::string& b) {
  const auto real = [](const std::string& path) {
    const std::unique_ptr<char, decltype(&::free)> target(::realpath(path.c_str(), nullptr),
                                                          ::free);
    return target ? std::string(target.get()) : path;
  };
  return real(a) == real(b);
}

std::vector<std::string> NonEmptyLines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string ProgramResult::LastLine() const {
  for (std::string_view text : {std::string_view(err), std::string_view(out)}) {
    while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
    if (!text.empty()) return std::string(text.substr(text.rfind('\n') + 1));
  }
  return fmt::format("exit status {}", status);
}

Result<ProgramResult> RunProgram(const std::vector<std::string>& argv, Deadline deadline) {
  // Files hold any amount while nobody reads; a pipe would stop the program.
  const sys::UniqueFd out = KATA_TRY(sys::MakeTextFile(""));
  const sys::UniqueFd err = KATA_TRY(sys::MakeTextFile(""));
  sys::Command command;
  command.argv = argv;
  command.stdout_fd = out.get();
  command.stderr_fd = err.get();
  sys::ChildProcess child = KATA_TRY(sys::ChildProcess::Spawn(command));
  const sys::ExitStatus status = KATA_TRY_WITHIN(argv.front(), child.Wait(deadline));
  return ProgramResult{
      .status = status.ShellCode(), .out = ReadWritten(out.get()), .err = ReadWritten(err.get())};
}

bool SystemdRuns() { return sys::Exists("/run/systemd/system"); }

Result<void> RestartUnit(const std::string& unit) {
  const auto result =
      KATA_TRY(RunProgram({"systemctl", "restart", unit}, Deadline::After(kRestartTime)));
  if (result.status == 0) return {};
  return Fail(Code::kInternal, fmt::format("systemctl restart {}: {}", unit, result.LastLine()));
}

}  // namespace kata::cli::setup
