// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/init.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include <fmt/format.h>

#include "guest/agent/hotplug.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

enum class Need { kRequired, kOptional };

struct MountPoint {
  const char* target;
  const char* source;
  const char* type;
  unsigned long flags;
  const char* data;
  mode_t mode;  // of the directory made when there is none
  Need need;
};

constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;

constexpr std::array kMounts = {
    MountPoint{"/proc", "proc", "proc", kPlain, "", 0555, Need::kRequired},
    MountPoint{"/sys", "sysfs", "sysfs", kPlain, "", 0555, Need::kRequired},
    MountPoint{"/dev", "dev", "devtmpfs", MS_NOSUID, "mode=0755", 0755, Need::kRequired},
    MountPoint{"/dev/pts", "devpts", "devpts", MS_NOSUID | MS_NOEXEC,
               "gid=5,mode=0620,ptmxmode=0666", 0755, Need::kRequired},
    MountPoint{"/dev/shm", "shm", "tmpfs", kPlain, "mode=1777", 01777, Need::kRequired},
    MountPoint{"/dev/mqueue", "mqueue", "mqueue", kPlain, "", 0755, Need::kOptional},
    MountPoint{"/dev/hugepages", "hugetlbfs", "hugetlbfs", MS_NOSUID | MS_NODEV, "", 0755,
               Need::kOptional},
    // Executables: rootfs directories and their overlays live below /run.
    MountPoint{"/run", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", 0755, Need::kRequired},
    MountPoint{"/tmp", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", 01777, Need::kRequired},
    MountPoint{"/sys/fs/cgroup", "cgroup2", "cgroup2", kPlain, "nsdelegate,memory_recursiveprot",
               0755, Need::kRequired},
    MountPoint{"/sys/fs/bpf", "bpf", "bpf", kPlain, "mode=0700", 0700, Need::kOptional},
};

struct Link {
  const char* path;
  const char* target;
};

constexpr std::array kLinks = {
    Link{"/dev/fd", "/proc/self/fd"},       Link{"/dev/stdin", "/proc/self/fd/0"},
    Link{"/dev/stdout", "/proc/self/fd/1"}, Link{"/dev/stderr", "/proc/self/fd/2"},
    Link{"/dev/ptmx", "pts/ptmx"},          Link{"/var/run", "/run"},
};

struct Sysctl {
  const char* path;
  const char* value;
};

// What distributions set on a server, so that software which runs there runs here.
constexpr std::array kSysctls = {
    Sysctl{"/proc/sys/fs/protected_hardlinks", "1"},
    Sysctl{"/proc/sys/fs/protected_symlinks", "1"},
    Sysctl{"/proc/sys/fs/inotify/max_user_instances", "1024"},
    Sysctl{"/proc/sys/fs/inotify/max_user_watches", "524288"},
    // The log is that of the containers' own machine, and our own kernel does not restrict it.
    Sysctl{"/proc/sys/kernel/dmesg_restrict", "0"},
    Sysctl{"/proc/sys/kernel/pid_max", "4194304"},
    Sysctl{"/proc/sys/kernel/sysrq", "0"},
    Sysctl{"/proc/sys/vm/max_map_count", "1048576"},
};

struct Limit {
  __rlimit_resource resource;
  const char* name;
  rlim_t value;
};

constexpr std::array kLimits = {
    Limit{RLIMIT_NOFILE, "nofile", 1 << 20},
    Limit{RLIMIT_NPROC, "nproc", RLIM_INFINITY},
    Limit{RLIMIT_MEMLOCK, "memlock", RLIM_INFINITY},
};

Result<void> MountOne(const MountPoint& point) {
  KATA_TRY(sys::MakeDirs(point.target, point.mode));
  if (::mount(point.source, point.target, point.type, point.flags, point.data) == 0) return {};
  // The kernel itself mounts devtmpfs when it is built to.
  if (errno == EBUSY) return {};
  return FailErrno("mount", point.target);
}

Result<void> MakeLink(const Link& link) {
  KATA_TRY(sys::MakeDirs(std::string(link.path, std::strrchr(link.path, '/'))));
  if (::symlink(link.target, link.path) == 0 || errno == EEXIST) return {};
  return FailErrno("symlink", link.path);
}

Result<void> Raise(const Limit& limit) {
  const rlimit wanted{limit.value, limit.value};
  if (::setrlimit(limit.resource, &wanted) == 0) return {};
  return FailErrno("setrlimit", limit.name);
}

// Else moving a process between groups waits for an RCU grace period.
Result<void> FavorChangesOfCgroups() {
  constexpr const char* kRoot = "/sys/fs/cgroup";
  if (::mount(nullptr, kRoot, nullptr, MS_REMOUNT | kPlain,
              "nsdelegate,memory_recursiveprot,favordynmods") != 0) {
    return FailErrno("mount option favordynmods", kRoot);
  }
  return {};
}

void Note(std::string& notes, const Result<void>& result) {
  if (result) return;
  if (!notes.empty()) notes += "; ";
  notes += result.error().message();
}

}  // namespace

void OpenStandardStreams() {
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0) return;
  const int console = ::open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK);
  const int output = console >= 0 ? console : null;
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  for (const int fd : {null, console}) {
    if (fd > STDERR_FILENO) ::close(fd);
  }
}

Result<std::string> MountBasics() {
  std::string notes;
  KATA_TRY(sys::MakeRootPivotable());
  for (const MountPoint& point : kMounts) {
    Result<void> mounted = MountOne(point);
    if (!mounted && point.need == Need::kRequired) {
      return std::unexpected(std::move(mounted).error());
    }
    Note(notes, mounted);
  }
  for (const Link& link : kLinks) Note(notes, MakeLink(link));
  return notes;
}

Result<void> DelegateControllers(const std::string& root) {
  const std::string controllers = KATA_TRY(sys::ReadFile(root + "/cgroup.controllers"));
  std::string_view left = controllers;
  while (true) {
    const size_t start = left.find_first_not_of(" \n");
    if (start == std::string_view::npos) return {};
    left.remove_prefix(start);
    const std::string_view name = left.substr(0, left.find_first_of(" \n"));
    left.remove_prefix(name.size());
    // One write each: the kernel refuses a whole line for one controller that it cannot enable.
    KATA_TRY(sys::WriteControl(root + "/cgroup.subtree_control", fmt::format("+{}", name)));
  }
}

std::string ApplyDefaults() {
  std::string notes;
  for (const Sysctl& sysctl : kSysctls) Note(notes, sys::WriteControl(sysctl.path, sysctl.value));
  for (const Limit& limit : kLimits) Note(notes, Raise(limit));
  Note(notes, DelegateControllers("/sys/fs/cgroup"));
  Note(notes, FavorChangesOfCgroups());
  Note(notes, OnlineMemoryByItself("/sys"));
  constexpr std::string_view kHostname = "kata";
  if (::sethostname(kHostname.data(), kHostname.size()) != 0) Note(notes, FailErrno("sethostname"));
  Note(notes, RaiseLoopback());
  // Ctrl-Alt-Del of a VMM's keyboard becomes a signal to this process instead of a reset.
  if (::reboot(RB_DISABLE_CAD) != 0) Note(notes, FailErrno("reboot", "disable ctrl-alt-del"));
  return notes;
}

Result<void> RaiseLoopback() {
  const sys::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return FailErrno("socket", "AF_INET");
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return FailErrno("SIOCGIFFLAGS", "lo");
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return FailErrno("SIOCSIFFLAGS", "lo");
  return {};
}

void PowerOff() {
  ::sync();
  ::reboot(RB_POWER_OFF);
}

}  // namespace kata::guest
