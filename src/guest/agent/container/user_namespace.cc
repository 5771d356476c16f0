// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/user_namespace.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "sys/file.h"

namespace kata::guest {
namespace {

constexpr uint32_t kNobody = 65534;

// Waits in a new user namespace until it is killed.
[[noreturn]] void HoldNamespace(int report) {
  const char outcome = ::unshare(CLONE_NEWUSER) == 0 ? 0 : static_cast<char>(errno);
  (void)sys::RetryOnEintr([&] { return ::write(report, &outcome, 1); });
  for (;;) ::pause();
}

Result<sys::UniqueFd> MapAndOpen(pid_t holder, int report, const UserNamespace& user) {
  char outcome = 0;
  if (sys::RetryOnEintr([&] { return ::read(report, &outcome, 1); }) != 1) {
    return Fail(Code::kInternal, "make a user namespace: its first process ended");
  }
  if (outcome != 0) {
    return std::unexpected(Error::FromErrno("make a user namespace", "", outcome));
  }
  KATA_TRY_WITHIN("uidMappings",
                  sys::WriteControl(fmt::format("/proc/{}/uid_map", holder), user.uids.Text()));
  KATA_TRY_WITHIN("gidMappings",
                  sys::WriteControl(fmt::format("/proc/{}/gid_map", holder), user.gids.Text()));
  return sys::Open(fmt::format("/proc/{}/ns/user", holder), O_RDONLY);
}

}  // namespace

Result<IdMap> IdMap::From(const google::protobuf::RepeatedPtrField<oci::LinuxIDMapping>& ranges) {
  IdMap map;
  for (const oci::LinuxIDMapping& range : ranges) {
    const uint64_t size = range.size();
    constexpr uint64_t kEnd = uint64_t{1} << 32;
    if (size == 0 || range.host_id() + size > kEnd || range.container_id() + size > kEnd) {
      return Fail(Code::kInvalidArgument, fmt::format("id mapping {} {} {}: not a range",
                                                      range.container_id(), range.host_id(), size));
    }
    map.ranges_.push_back({range.container_id(), range.host_id(), range.size()});
  }
  return map;
}

uint32_t IdMap::Outside(uint32_t inside) const {
  if (ranges_.empty()) return inside;
  for (const Range& range : ranges_) {
    if (inside >= range.inside && inside - range.inside < range.size) {
      return range.outside + (inside - range.inside);
    }
  }
  return kNobody;
}

std::string IdMap::Text() const {
  std::string text;
  for (const Range& range : ranges_) {
    text += fmt::format("{} {} {}\n", range.inside, range.outside, range.size);
  }
  return text;
}

Result<UserNamespace> MakeUserNamespace(const oci::Linux& spec) {
  UserNamespace user;
  if (std::ranges::none_of(spec.namespaces(), [](const oci::LinuxNamespace& wanted) {
        return wanted.type() == "user";
      })) {
    return user;
  }
  if (spec.uid_mappings().empty() || spec.gid_mappings().empty()) {
    return Fail(Code::kInvalidArgument,
                "a user namespace needs linux.uidMappings and linux.gidMappings");
  }
  user.uids = KATA_TRY_WITHIN("uidMappings", IdMap::From(spec.uid_mappings()));
  user.gids = KATA_TRY_WITHIN("gidMappings", IdMap::From(spec.gid_mappings()));
  sys::Pipe report = KATA_TRY(sys::MakePipe());
  const pid_t holder = ::fork();
  if (holder < 0) return FailErrno("fork");
  if (holder == 0) HoldNamespace(report.write.get());
  report.write.Reset();
  auto fd = MapAndOpen(holder, report.read.get(), user);
  ::kill(holder, SIGKILL);
  (void)sys::RetryOnEintr([&] { return ::waitpid(holder, nullptr, 0); });
  user.fd = KATA_TRY(std::move(fd));
  return user;
}

Result<void> ActAsContainerRoot(const UserNamespace& user) {
  // Without this, the kernel takes the capabilities over files away with the change of id.
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0) {
    return FailErrno("keep capabilities");
  }
  ::setfsgid(user.gids.Outside(0));
  ::setfsuid(user.uids.Outside(0));
  return {};
}

Result<void> EnterUserNamespace(int fd, bool own_views) {
  if (::setns(fd, CLONE_NEWUSER) != 0) return FailErrno("join the user namespace");
  if (own_views && ::unshare(CLONE_NEWNS | CLONE_NEWCGROUP) != 0) {
    return FailErrno("make namespaces of the container's user");
  }
  return {};
}

}  // namespace kata::guest
