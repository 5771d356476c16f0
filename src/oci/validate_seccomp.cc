// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "oci/refuse.h"
#include "oci/validate.h"

namespace kata::oci {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kActions = {
    "SCMP_ACT_KILL"sv,  "SCMP_ACT_KILL_PROCESS"sv, "SCMP_ACT_KILL_THREAD"sv, "SCMP_ACT_TRAP"sv,
    "SCMP_ACT_ERRNO"sv, "SCMP_ACT_TRACE"sv,        "SCMP_ACT_ALLOW"sv,       "SCMP_ACT_LOG"sv,
};
constexpr std::array kOperators = {
    "SCMP_CMP_NE"sv, "SCMP_CMP_LT"sv, "SCMP_CMP_LE"sv,        "SCMP_CMP_EQ"sv,
    "SCMP_CMP_GE"sv, "SCMP_CMP_GT"sv, "SCMP_CMP_MASKED_EQ"sv,
};
constexpr std::array kFlags = {"SECCOMP_FILTER_FLAG_TSYNC"sv, "SECCOMP_FILTER_FLAG_LOG"sv,
                               "SECCOMP_FILTER_FLAG_SPEC_ALLOW"sv,
                               "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"sv};
// A filter has at most 4096 instructions, so longer lists cannot work.
constexpr int kMaxRules = 16384;
constexpr int kMaxNames = 4096;

Result<void> ValidateAction(std::string_view where, std::string_view action) {
  if (action == "SCMP_ACT_NOTIFY") {
    return Refuse(where,
                  "SCMP_ACT_NOTIFY is not supported: a listener on the host cannot serve processes "
                  "of a virtual machine");
  }
  if (!IsOneOf(action, kActions)) return RefuseValue(where, action, "is not an action");
  return {};
}

}  // namespace

Result<void> ValidateSeccomp(const LinuxSeccomp& seccomp) {
  KATA_TRY(ValidateAction("defaultAction", seccomp.default_action()));
  for (const std::string& flag : seccomp.flags()) {
    if (!IsOneOf(flag, kFlags)) return RefuseValue("flags", flag, "is not a flag");
  }
  for (const std::string& architecture : seccomp.architectures()) {
    if (!architecture.starts_with("SCMP_ARCH_")) {
      return RefuseValue("architectures", architecture, "does not begin with SCMP_ARCH_");
    }
  }
  if (seccomp.syscalls_size() > kMaxRules) return Refuse("syscalls", "has too many entries");
  for (int i = 0; i < seccomp.syscalls_size(); ++i) {
    const LinuxSyscall& rule = seccomp.syscalls(i);
    const std::string where = fmt::format("syscalls[{}]", i);
    if (rule.names().empty() || rule.names_size() > kMaxNames) {
      return Refuse(where + ".names", rule.names().empty() ? "is empty" : "has too many entries");
    }
    if (rule.action() == "SCMP_ACT_NOTIFY" && IsOneOf("write"sv, rule.names())) {
      return Refuse(where, "SCMP_ACT_NOTIFY cannot be used for the write syscall");
    }
    KATA_TRY(ValidateAction(where + ".action", rule.action()));
    for (const LinuxSeccompArg& arg : rule.args()) {
      if (arg.index() > 5) {
        return Refuse(where + ".args", fmt::format("index {} is outside 0 to 5", arg.index()));
      }
      if (!IsOneOf(arg.op(), kOperators)) {
        return RefuseValue(where + ".args.op", arg.op(), "is not an operator");
      }
    }
  }
  return {};
}

}  // namespace kata::oci
