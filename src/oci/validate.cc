// SPDX-License-Identifier: Apache-2.0
#include "oci/validate.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace kata::oci {
namespace {

using std::string_view_literals::operator""sv;

constexpr size_t kShownBytes = 60;
constexpr size_t kMaxHostname = 64;  // __NEW_UTS_LEN

constexpr std::array kRlimits = {
    "RLIMIT_AS"sv,     "RLIMIT_CORE"sv,   "RLIMIT_CPU"sv,        "RLIMIT_DATA"sv,
    "RLIMIT_FSIZE"sv,  "RLIMIT_LOCKS"sv,  "RLIMIT_MEMLOCK"sv,    "RLIMIT_MSGQUEUE"sv,
    "RLIMIT_NICE"sv,   "RLIMIT_NOFILE"sv, "RLIMIT_NPROC"sv,      "RLIMIT_RSS"sv,
    "RLIMIT_RTPRIO"sv, "RLIMIT_RTTIME"sv, "RLIMIT_SIGPENDING"sv, "RLIMIT_STACK"sv,
};
constexpr std::array kNamespaces = {"pid"sv, "network"sv, "mount"sv,  "ipc"sv,
                                    "uts"sv, "user"sv,    "cgroup"sv, "time"sv};
constexpr std::array kPropagations = {""sv,       "private"sv,    "rprivate"sv,
                                      "shared"sv, "rshared"sv,    "slave"sv,
                                      "rslave"sv, "unbindable"sv, "runbindable"sv};

bool IsOneOf(std::string_view word, const auto& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool IsAbsolute(std::string_view path) { return path.starts_with('/'); }

std::unexpected<Error> Refuse(std::string_view path, std::string_view problem) {
  return Fail(Code::kInvalidArgument, fmt::format("{}: {}", path, problem));
}

std::unexpected<Error> RefuseValue(std::string_view path, std::string_view value,
                                   std::string_view problem) {
  return Refuse(path, fmt::format("\"{}\"{} {}", value.substr(0, kShownBytes),
                                  value.size() > kShownBytes ? "..." : "", problem));
}

Result<void> RequireAbsolute(std::string_view where, std::string_view path) {
  if (path.empty()) return Refuse(where, "is missing");
  if (!IsAbsolute(path)) return RefuseValue(where, path, "is not an absolute path");
  return {};
}

Result<void> ValidateMounts(const Spec& spec) {
  for (int i = 0; i < spec.mounts_size(); ++i) {
    KATA_TRY(
        RequireAbsolute(fmt::format("mounts[{}].destination", i), spec.mounts(i).destination()));
  }
  return {};
}

Result<void> ValidateHooks(const Hooks& hooks) {
  const auto check = [](std::string_view kind, const auto& list) -> Result<void> {
    for (int i = 0; i < list.size(); ++i) {
      const std::string where = fmt::format("hooks.{}[{}]", kind, i);
      KATA_TRY(RequireAbsolute(where + ".path", list[i].path()));
      if (list[i].timeout() < 0) return Refuse(where + ".timeout", "must be greater than zero");
    }
    return {};
  };
  KATA_TRY(check("prestart", hooks.prestart()));
  KATA_TRY(check("createRuntime", hooks.create_runtime()));
  KATA_TRY(check("createContainer", hooks.create_container()));
  KATA_TRY(check("startContainer", hooks.start_container()));
  KATA_TRY(check("poststart", hooks.poststart()));
  return check("poststop", hooks.poststop());
}

Result<void> ValidateNamespaces(const Linux& section) {
  std::set<std::string_view> seen;
  for (int i = 0; i < section.namespaces_size(); ++i) {
    const LinuxNamespace& space = section.namespaces(i);
    const std::string where = fmt::format("linux.namespaces[{}]", i);
    if (!IsOneOf(space.type(), kNamespaces)) {
      return RefuseValue(where + ".type", space.type(),
                         fmt::format("is none of {}", fmt::join(kNamespaces, ", ")));
    }
    if (!seen.insert(space.type()).second) {
      return RefuseValue(where + ".type", space.type(), "is there twice");
    }
    if (!space.path().empty()) KATA_TRY(RequireAbsolute(where + ".path", space.path()));
  }
  return {};
}

Result<void> ValidateDevices(const Linux& section) {
  for (int i = 0; i < section.devices_size(); ++i) {
    const LinuxDevice& device = section.devices(i);
    const std::string where = fmt::format("linux.devices[{}]", i);
    KATA_TRY(RequireAbsolute(where + ".path", device.path()));
    if (!IsOneOf(device.type(), std::array{"c"sv, "b"sv, "u"sv, "p"sv})) {
      return RefuseValue(where + ".type", device.type(), "is none of c, b, u, p");
    }
    if (device.type() != "p" && (device.major() < 0 || device.minor() < 0)) {
      return Refuse(where, "major and minor must not be negative");
    }
  }
  return {};
}

Result<void> ValidateLinux(const Linux& section) {
  KATA_TRY(ValidateNamespaces(section));
  KATA_TRY(ValidateDevices(section));
  if (!IsOneOf(section.rootfs_propagation(), kPropagations)) {
    return RefuseValue("linux.rootfsPropagation", section.rootfs_propagation(),
                       fmt::format("is none of {}", fmt::join(kPropagations.begin() + 1,
                                                              kPropagations.end(), ", ")));
  }
  for (int i = 0; i < section.masked_paths_size(); ++i) {
    KATA_TRY(RequireAbsolute(fmt::format("linux.maskedPaths[{}]", i), section.masked_paths(i)));
  }
  for (int i = 0; i < section.readonly_paths_size(); ++i) {
    KATA_TRY(RequireAbsolute(fmt::format("linux.readonlyPaths[{}]", i), section.readonly_paths(i)));
  }
  KATA_TRY_WITHIN("linux.resources", ValidateResources(section.resources()));
  return {};
}

// -1 is "no limit", 0 "not set".
Result<void> RequireLimit(std::string_view where, int64_t value) {
  if (value < -1) return Refuse(where, fmt::format("{} is neither a limit nor -1", value));
  return {};
}

Result<void> RequireRange(std::string_view where, uint64_t value, uint64_t low, uint64_t high) {
  if (value == 0 || (value >= low && value <= high)) return {};
  return Refuse(where, fmt::format("{} is outside {} to {}", value, low, high));
}

}  // namespace

Result<void> ValidateProcess(const Process& process) {
  if (process.args().empty() || process.args(0).empty()) {
    return Refuse("process.args", "is empty, so there is no command to run");
  }
  KATA_TRY(RequireAbsolute("process.cwd", process.cwd()));
  for (int i = 0; i < process.env_size(); ++i) {
    const size_t equals = process.env(i).find('=');
    if (equals == std::string::npos || equals == 0) {
      return RefuseValue(fmt::format("process.env[{}]", i), process.env(i),
                         "is not of the form NAME=VALUE");
    }
  }
  std::set<std::string_view> seen;
  for (int i = 0; i < process.rlimits_size(); ++i) {
    const POSIXRlimit& rlimit = process.rlimits(i);
    const std::string where = fmt::format("process.rlimits[{}]", i);
    if (!IsOneOf(rlimit.type(), kRlimits)) {
      return RefuseValue(where + ".type", rlimit.type(), "is not a resource that Linux limits");
    }
    if (!seen.insert(rlimit.type()).second) {
      return RefuseValue(where + ".type", rlimit.type(), "is there twice");
    }
    if (rlimit.soft() > rlimit.hard()) {
      return Refuse(
          where, fmt::format("soft limit {} is above hard limit {}", rlimit.soft(), rlimit.hard()));
    }
  }
  return {};
}

Result<void> ValidateResources(const LinuxResources& resources) {
  const LinuxMemory& memory = resources.memory();
  KATA_TRY(RequireLimit("memory.limit", memory.limit()));
  KATA_TRY(RequireLimit("memory.reservation", memory.reservation()));
  KATA_TRY(RequireLimit("memory.swap", memory.swap()));
  if (memory.limit() > 0 && memory.swap() > 0 && memory.swap() < memory.limit()) {
    return Refuse("memory.swap", fmt::format("{} is below memory.limit {}, which it includes",
                                             memory.swap(), memory.limit()));
  }
  // 2^64-1 is how engines say "not set".
  if (memory.swappiness() != UINT64_MAX) {
    KATA_TRY(RequireRange("memory.swappiness", memory.swappiness(), 0, 100));
  }
  const LinuxCPU& cpu = resources.cpu();
  if (cpu.quota() < -1 || (cpu.quota() > 0 && cpu.quota() < 1000)) {
    return Refuse("cpu.quota",
                  fmt::format("{} is neither -1, 0 nor at least 1000 microseconds", cpu.quota()));
  }
  KATA_TRY(RequireRange("cpu.period", cpu.period(), 1000, 1'000'000));
  KATA_TRY(RequireRange("blockIO.weight", resources.block_io().weight(), 10, 1000));
  for (int i = 0; i < resources.devices_size(); ++i) {
    const LinuxDeviceCgroup& rule = resources.devices(i);
    const std::string where = fmt::format("devices[{}]", i);
    if (!IsOneOf(rule.type(), std::array{"a"sv, "b"sv, "c"sv})) {
      return RefuseValue(where + ".type", rule.type(), "is none of a, b, c");
    }
    if (rule.access().find_first_not_of("rwm") != std::string::npos) {
      return RefuseValue(where + ".access", rule.access(), "may only hold r, w and m");
    }
  }
  return {};
}

Result<void> ValidateSpec(const Spec& spec) {
  if (spec.version().empty()) return Refuse("ociVersion", "is missing");
  if (!spec.version().starts_with("1.")) {
    return RefuseValue("ociVersion", spec.version(), "is not supported; 1.x is");
  }
  if (!spec.has_process()) return Refuse("process", "is missing");
  KATA_TRY(ValidateProcess(spec.process()));
  if (spec.root().path().empty()) return Refuse("root.path", "is missing");
  if (spec.hostname().size() > kMaxHostname) {
    return RefuseValue("hostname", spec.hostname(),
                       fmt::format("is longer than {} bytes", kMaxHostname));
  }
  if (spec.domainname().size() > kMaxHostname) {
    return RefuseValue("domainname", spec.domainname(),
                       fmt::format("is longer than {} bytes", kMaxHostname));
  }
  KATA_TRY(ValidateMounts(spec));
  KATA_TRY(ValidateHooks(spec.hooks()));
  return ValidateLinux(spec.linux());
}

}  // namespace kata::oci
