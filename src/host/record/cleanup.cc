// SPDX-License-Identifier: Apache-2.0
#include "host/record/cleanup.h"

#include <dirent.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "host/hypervisor/vmm_traits.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr auto kLoggerGrace = 1s;

// A pidfd that surely means the recorded process, or none. The start time is read after the pidfd
// was opened: had the number been given away in between, the start times would differ.
std::optional<sys::UniqueFd> OpenRecorded(const ProcessEntry& process) {
  auto pidfd = sys::OpenPidFd(process.pid);
  if (!pidfd) return std::nullopt;
  const auto start_time = ProcessStartTime(process.pid);
  if (!start_time || *start_time != process.start_time) return std::nullopt;
  return *std::move(pidfd);
}

std::vector<pid_t> NumbersIn(const std::string& directory) {
  std::vector<pid_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return pids;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && end == name.data() + name.size()) pids.push_back(pid);
  }
  return pids;
}

bool IsHelperProgram(std::string_view name) {
  return name.starts_with("virtiofsd") ||
         std::ranges::any_of(hypervisor::kVmms, [&](const hypervisor::VmmTraits& vmm) {
           return name.starts_with(vmm.process);
         });
}

// `path` followed by anything that cannot go on with the same file name.
bool Mentions(std::string_view command_line, std::string_view path) {
  for (size_t at = command_line.find(path); at != std::string_view::npos;
       at = command_line.find(path, at + 1)) {
    const size_t end = at + path.size();
    if (end == command_line.size() || command_line[end] == '/' || command_line[end] == '\0' ||
        command_line[end] == ',') {
      return true;
    }
  }
  return false;
}

// Hypervisors and virtiofsds of this sandbox: those whose command line names one of its paths.
std::vector<ProcessEntry> UnrecordedHelpers(const SandboxRecord& record,
                                            const CleanupRoots& roots) {
  std::vector<ProcessEntry> found;
  for (const pid_t pid : NumbersIn("/proc")) {
    const auto name = sys::ReadFile(fmt::format("/proc/{}/comm", pid), 64);
    if (!name || !IsHelperProgram(*name)) continue;
    const auto entry = DescribeProcess(pid, ProcessRole::kVmm);
    const auto command_line = sys::ReadFile(fmt::format("/proc/{}/cmdline", pid), 1 << 20);
    if (!entry || !command_line) continue;
    const bool ours =
        std::any_of(record.paths.begin(), record.paths.end(), [&](const std::string& path) {
          return std::any_of(roots.paths.begin(), roots.paths.end(),
                             [&](const std::string& root) { return IsBelow(path, root); }) &&
                 Mentions(*command_line, path);
        });
    if (ours) found.push_back(*entry);
  }
  return found;
}

std::vector<ProcessEntry> ProcessesInCgroup(const std::string& directory) {
  std::vector<ProcessEntry> found;
  const auto text = sys::ReadFile(directory + "/cgroup.procs", 1 << 20);
  if (!text) return found;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    pid_t pid = 0;
    if (std::from_chars(rest.data(), rest.data() + end, pid).ec == std::errc() && pid > 1) {
      if (auto entry = DescribeProcess(pid, ProcessRole::kVmm)) found.push_back(*entry);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return found;
}

void KeepFirst(Result<void>& first, Result<void> next) {
  if (first && !next) first = std::move(next);
}

Result<void> RemoveCgroup(const std::string& directory, Deadline deadline) {
  if (!sys::Exists(directory)) return {};
  Result<void> result;
  {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
    while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
      const std::string_view name = entry->d_name;
      if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
      KeepFirst(result, RemoveCgroup(directory + "/" + entry->d_name, deadline));
    }
  }
  for (const ProcessEntry& process : ProcessesInCgroup(directory)) {
    KeepFirst(result, KillProcess(process, deadline));
  }
  // A process leaves its cgroup a moment after its pidfd says that it ended, and cgroup v1 has
  // nothing to wait on.
  while (::rmdir(directory.c_str()) != 0 && errno != ENOENT) {
    if (errno != EBUSY || deadline.Passed()) return FailErrno("rmdir", directory);
    std::this_thread::sleep_for(1ms);
  }
  return result;
}

// Unmounts first: removing a tree must never empty something that is mounted inside of it.
Result<void> RemovePath(const std::string& path) {
  const std::string mountinfo = KATA_TRY(sys::ReadFile("/proc/self/mountinfo"));
  std::vector<std::string> mounts = MountPointsBelow(mountinfo, path);
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (::umount2(mount->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
        errno != ENOENT) {
      return FailErrno("umount", *mount);
    }
  }
  if (!mounts.empty()) {
    const std::string now = KATA_TRY(sys::ReadFile("/proc/self/mountinfo"));
    if (const auto left = MountPointsBelow(now, path); !left.empty()) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("remove \"{}\": \"{}\" is still mounted", path, left.front()));
    }
  }
  return sys::RemoveTree(path);
}

Result<void> RemoveSocket(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return Fail(Code::kFailedPrecondition, fmt::format("remove \"{}\": not a socket", path));
  }
  return sys::RemoveFile(path);
}

bool IsBelowAny(std::string_view path, const std::vector<std::string>& roots) {
  return std::any_of(roots.begin(), roots.end(),
                     [&](const std::string& root) { return IsBelow(path, root); });
}

Result<void> KillAll(const SandboxRecord& record, Deadline deadline, const CleanupRoots& roots) {
  Result<void> result;
  for (const ProcessRole role : {ProcessRole::kShim, ProcessRole::kVmm, ProcessRole::kVirtiofsd}) {
    for (const ProcessEntry& process : record.processes) {
      if (process.role == role) KeepFirst(result, KillProcess(process, deadline));
    }
  }
  for (const ProcessEntry& process : UnrecordedHelpers(record, roots)) {
    KeepFirst(result, KillProcess(process, deadline));
  }
  // With the shim gone, a logger reads the end of its input once it has written out the rest.
  const Deadline grace = Deadline::After(kLoggerGrace).Earlier(deadline);
  for (const ProcessEntry& process : record.processes) {
    if (process.role != ProcessRole::kLogger) continue;
    if (!WaitForEnd(process, grace)) KeepFirst(result, KillProcess(process, deadline));
  }
  return result;
}

// Leaves interfaces that others made as they were. A namespace without a path was gone with the
// last process in it, and one that is another by now has nothing of ours.
Result<void> DisconnectNetwork(const NetworkEntry& entry) {
  if (entry.namespace_path.empty()) return {};
  const auto ns = sys::OpenNetworkNamespace(entry.namespace_path);
  if (!ns) return {};
  const auto id = sys::IdOfNamespace(ns->get());
  if (!id || *id != entry.namespace_id) return {};
  return sys::RunInNetns(ns->get(), [&]() -> Result<void> {
    sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
    return network::Disconnect(socket, entry.connection);
  });
}

}  // namespace

bool IsBelow(std::string_view path, std::string_view root) {
  if (!path.starts_with(root) || path.size() <= root.size() + 1 || path[root.size()] != '/') {
    return false;
  }
  std::string_view rest = path.substr(root.size() + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    if (part.empty() || part == "." || part == "..") return false;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return path.find('\0') == std::string_view::npos;
}

std::vector<std::string> MountPointsBelow(std::string_view mountinfo, std::string_view directory) {
  constexpr int kWordOfMountPoint = 4;
  std::vector<std::string> points;
  while (!mountinfo.empty()) {
    const size_t line_end = std::min(mountinfo.find('\n'), mountinfo.size());
    std::string_view line = mountinfo.substr(0, line_end);
    mountinfo.remove_prefix(std::min(line_end + 1, mountinfo.size()));
    for (int word = 0; word < kWordOfMountPoint; ++word) {
      line.remove_prefix(std::min(line.find(' ') + 1, line.size()));
    }
    line = line.substr(0, line.find(' '));
    std::string point;
    for (size_t i = 0; i < line.size(); ++i) {
      // Space, tab, newline and backslash are three octal digits.
      if (line[i] == '\\' && i + 3 < line.size()) {
        point += static_cast<char>((line[i + 1] - '0') * 64 + (line[i + 2] - '0') * 8 +
                                   (line[i + 3] - '0'));
        i += 3;
      } else {
        point += line[i];
      }
    }
    const bool inside =
        point == directory || (point.size() > directory.size() && point.starts_with(directory) &&
                               point[directory.size()] == '/');
    if (inside) points.push_back(std::move(point));
  }
  return points;
}

Result<void> WaitForEnd(const ProcessEntry& process, Deadline deadline) {
  const auto pidfd = OpenRecorded(process);
  if (!pidfd) return {};
  if (auto ended = sys::WaitFor(pidfd->get(), POLLIN, deadline); !ended) {
    return std::unexpected(
        std::move(ended).error().Within(fmt::format("wait for process {}", process.pid)));
  }
  return {};
}

Result<void> KillProcess(const ProcessEntry& process, Deadline deadline) {
  if (process.pid == ::getpid() || process.pid <= 1) return {};
  const auto pidfd = OpenRecorded(process);
  if (!pidfd) return {};
  if (auto killed = sys::SignalPidFd(pidfd->get(), SIGKILL); !killed) {
    if (killed.error().code() == Code::kNotFound) return {};
    return std::unexpected(
        std::move(killed).error().Within(fmt::format("kill process {}", process.pid)));
  }
  if (auto ended = sys::WaitFor(pidfd->get(), POLLIN, deadline); !ended) {
    return std::unexpected(
        std::move(ended).error().Within(fmt::format("kill process {}", process.pid)));
  }
  return {};
}

Result<void> Cleanup(const SandboxRecord& record, Deadline deadline, const CleanupRoots& roots) {
  Result<void> result = KillAll(record, deadline, roots);
  for (const NetworkEntry& entry : record.networks) KeepFirst(result, DisconnectNetwork(entry));
  for (const storage::UpperTrace& trace : record.uppers) {
    KeepFirst(result, storage::TakeBackUpper(trace));
  }
  for (const std::string& path : record.sockets) {
    if (IsBelowAny(path, roots.sockets)) KeepFirst(result, RemoveSocket(path));
  }
  for (const std::string& path : record.cgroups) {
    if (IsBelow(path, roots.cgroups)) KeepFirst(result, RemoveCgroup(path, deadline));
  }
  const std::string record_dir = RecordDir(record.id, roots.records);
  for (const std::string& path : record.paths) {
    if (path != record_dir && IsBelowAny(path, roots.paths)) KeepFirst(result, RemovePath(path));
  }
  if (!result || !IsBelow(record_dir, roots.records)) return result;
  return RemovePath(record_dir);
}

}  // namespace kata::sandbox
