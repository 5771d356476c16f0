// SPDX-License-Identifier: Apache-2.0
#include "sys/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

constexpr uint32_t kNobody = 65534;

// Waits in a new user namespace until it is killed.
[[noreturn]] void HoldNamespace(int report) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const bool alone = CloseAllBut({&report, 1}).has_value();
  const char outcome = alone && ::unshare(CLONE_NEWUSER) == 0 ? 0 : static_cast<char>(errno);
  (void)RetryOnEintr([&] { return ::write(report, &outcome, 1); });
  for (;;) ::pause();
}

Result<UniqueFd> MapAndOpen(pid_t holder, int report, const IdMap& uids, const IdMap& gids) {
  char outcome = 0;
  if (RetryOnEintr([&] { return ::read(report, &outcome, 1); }) != 1) {
    return Fail(Code::kInternal, "make a user namespace: its first process ended");
  }
  if (outcome != 0) {
    return std::unexpected(Error::FromErrno("make a user namespace", "", outcome));
  }
  KATA_TRY_WITHIN("uidMappings",
                  WriteControl(fmt::format("/proc/{}/uid_map", holder), uids.Text()));
  KATA_TRY_WITHIN("gidMappings",
                  WriteControl(fmt::format("/proc/{}/gid_map", holder), gids.Text()));
  return Open(fmt::format("/proc/{}/ns/user", holder), O_RDONLY);
}

}  // namespace

Result<void> IdMap::Add(const Range& range) {
  constexpr uint64_t kEnd = uint64_t{1} << 32;
  const uint64_t size = range.size;
  if (size == 0 || range.outside + size > kEnd || range.inside + size > kEnd) {
    return Fail(Code::kInvalidArgument,
                fmt::format("id mapping {} {} {}: not a range", range.inside, range.outside, size));
  }
  ranges_.push_back(range);
  return {};
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

Result<UniqueFd> MakeUserNamespace(const IdMap& uids, const IdMap& gids) {
  Pipe report = KATA_TRY(MakePipe());
  const pid_t holder = ::fork();
  if (holder < 0) return FailErrno("fork");
  if (holder == 0) HoldNamespace(report.write.get());
  report.write.Reset();
  auto fd = MapAndOpen(holder, report.read.get(), uids, gids);
  ::kill(holder, SIGKILL);
  (void)RetryOnEintr([&] { return ::waitpid(holder, nullptr, 0); });
  return fd;
}

}  // namespace kata::sys
