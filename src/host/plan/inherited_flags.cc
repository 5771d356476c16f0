// SPDX-License-Identifier: Apache-2.0
#include "host/plan/inherited_flags.h"

#include <sys/mount.h>

#include <fmt/format.h>

#include "sys/mount_options.h"

namespace kata::sandbox {
namespace {

struct Flag {
  const char* word;
  unsigned long flag;
  bool locked;  // in a user namespace
};
constexpr Flag kFlags[] = {{"nosuid", MS_NOSUID, true},
                           {"nodev", MS_NODEV, true},
                           {"noexec", MS_NOEXEC, true},
                           {"nosymfollow", sys::kNoSymFollow, false}};
constexpr unsigned long kLocked = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr unsigned long kBindFlags = MS_BIND | MS_REC;
constexpr unsigned long kWhen = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;
constexpr unsigned long kAccessTimes = kWhen | MS_NODIRATIME;

bool ClearsLocked(unsigned long of_source, const sys::MountOptions& asked) {
  if ((asked.cleared & of_source & kLocked) != 0) return true;
  unsigned long times = asked.flags & kAccessTimes;
  if (times == 0) return false;
  if ((times & kWhen) == 0) times |= MS_RELATIME;
  return times != (of_source & kAccessTimes);
}

}  // namespace

Result<void> InheritFlags(unsigned long of_source, bool user_namespace, oci::Mount* mount) {
  const sys::MountOptions asked = sys::ParseMountOptions(mount->options());
  if (user_namespace && ClearsLocked(of_source, asked)) {
    // Worded as runc does.
    return Fail(Code::kPermissionDenied,
                fmt::format("error during container init: error mounting \"{}\" to rootfs at "
                            "\"{}\": a flag of the host's mount cannot be changed in a user "
                            "namespace: operation not permitted",
                            mount->source(), mount->destination()));
  }
  const auto inherit = [&](const char* word, unsigned long flag) {
    if ((of_source & flag) != 0 && (asked.flags & flag) == 0) mount->add_options(word);
  };
  const bool silent = ((asked.flags | asked.cleared) & ~kBindFlags) == 0;
  inherit("ro", MS_RDONLY);
  for (const Flag& each : kFlags) {
    if (silent || (user_namespace && each.locked)) inherit(each.word, each.flag);
  }
  if ((asked.flags & kAccessTimes) == 0) {
    inherit("nodiratime", MS_NODIRATIME);
    inherit("noatime", MS_NOATIME);
    inherit("strictatime", MS_STRICTATIME);
  }
  return {};
}

}  // namespace kata::sandbox
