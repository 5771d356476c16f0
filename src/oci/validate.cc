// SPDX-License-Identifier: Apache-2.0
#include "oci/validate.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "oci/refuse.h"

namespace kata::oci {
namespace {

using std::string_view_literals::operator""sv;

constexpr size_t kMaxHostname = 64;  // __NEW_UTS_LEN
constexpr int kMaxMappings = 340;    // the kernel's UID_GID_MAP_MAX_EXTENTS

constexpr std::array kNamespaces = {"pid"sv, "network"sv, "mount"sv,  "ipc"sv,
                                    "uts"sv, "user"sv,    "cgroup"sv, "time"sv};
constexpr std::array kPropagations = {""sv,       "private"sv,    "rprivate"sv,
                                      "shared"sv, "rshared"sv,    "slave"sv,
                                      "rslave"sv, "unbindable"sv, "runbindable"sv};

Result<void> ValidateMappings(std::string_view where,
                              const google::protobuf::RepeatedPtrField<LinuxIDMapping>& mappings) {
  if (mappings.size() > kMaxMappings) {
    return Refuse(where, fmt::format("has more than {} entries", kMaxMappings));
  }
  for (int i = 0; i < mappings.size(); ++i) {
    const LinuxIDMapping& mapping = mappings[i];
    const uint64_t size = mapping.size();
    if (size == 0 || mapping.host_id() + size > uint64_t{1} << 32 ||
        mapping.container_id() + size > uint64_t{1} << 32) {
      return Refuse(fmt::format("{}[{}]", where, i), "is not a range of 32-bit ids");
    }
  }
  return {};
}

Result<void> ValidateIdMapping(const std::string& where, const Mount& mount, const Linux& section) {
  KATA_TRY(ValidateMappings(where + ".uidMappings", mount.uid_mappings()));
  KATA_TRY(ValidateMappings(where + ".gidMappings", mount.gid_mappings()));
  if (mount.uid_mappings().empty() != mount.gid_mappings().empty()) {
    return Refuse(where, "has one of uidMappings and gidMappings; it needs both or none");
  }
  const bool mapped = !mount.uid_mappings().empty();
  for (const std::string& word : mount.options()) {
    if (word.starts_with("idmap=") || word.starts_with("ridmap=")) {
      return Refuse(where, fmt::format("option \"{}\": use uidMappings and gidMappings", word));
    }
    if (mapped || (word != "idmap" && word != "ridmap")) continue;
    if (section.uid_mappings().empty() || section.gid_mappings().empty()) {
      return Refuse(where, fmt::format("option \"{}\" without uidMappings and gidMappings, of the "
                                       "mount or of the container",
                                       word));
    }
  }
  return {};
}

Result<void> ValidateMounts(const Spec& spec) {
  for (int i = 0; i < spec.mounts_size(); ++i) {
    KATA_TRY(
        RequireAbsolute(fmt::format("mounts[{}].destination", i), spec.mounts(i).destination()));
    KATA_TRY(ValidateIdMapping(fmt::format("mounts[{}]", i), spec.mounts(i), spec.linux()));
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

bool HasNamespace(const Linux& section, std::string_view type) {
  return std::any_of(section.namespaces().begin(), section.namespaces().end(),
                     [&](const LinuxNamespace& space) { return space.type() == type; });
}

Result<void> ValidateUserAndTime(const Linux& section) {
  KATA_TRY(ValidateMappings("linux.uidMappings", section.uid_mappings()));
  KATA_TRY(ValidateMappings("linux.gidMappings", section.gid_mappings()));
  const bool mapped = section.uid_mappings_size() > 0 || section.gid_mappings_size() > 0;
  if (mapped && !HasNamespace(section, "user")) {
    return Refuse("linux.uidMappings", "needs a user namespace in linux.namespaces");
  }
  if (section.time_offsets_size() > 0 && !HasNamespace(section, "time")) {
    return Refuse("linux.timeOffsets", "needs a time namespace in linux.namespaces");
  }
  for (const auto& [clock, offset] : section.time_offsets()) {
    if (offset.nanosecs() >= 1'000'000'000) {
      return Refuse(fmt::format("linux.timeOffsets.{}.nanosecs", clock),
                    fmt::format("{} is a second or more", offset.nanosecs()));
    }
  }
  if (!section.has_personality()) return {};
  if (!IsOneOf(section.personality().domain(), std::array{"LINUX"sv, "LINUX32"sv})) {
    return RefuseValue("linux.personality.domain", section.personality().domain(),
                       "is none of LINUX, LINUX32");
  }
  if (section.personality().flags_size() > 0) {
    return Refuse("linux.personality.flags", "the specification defines no flags");
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

// As runc: what else sets the value, or whose value it would be, decides.
Result<void> ValidateSysctls(const Linux& section) {
  constexpr std::array kOfIpc = {"kernel.msgmax"sv, "kernel.msgmnb"sv,         "kernel.msgmni"sv,
                                 "kernel.sem"sv,    "kernel.shmall"sv,         "kernel.shmmax"sv,
                                 "kernel.shmmni"sv, "kernel.shm_rmid_forced"sv};
  for (const auto& [key, value] : section.sysctl()) {
    std::string name = key;
    if (name.find('/') != std::string::npos) std::replace(name.begin(), name.end(), '/', '.');
    const std::string where = fmt::format("linux.sysctl.{}", key);
    if (name == "kernel.hostname") return Refuse(where, "is what \"hostname\" sets");
    const bool of_ipc = IsOneOf(name, kOfIpc) || name.starts_with("fs.mqueue.");
    if (of_ipc && !HasNamespace(section, "ipc")) {
      return Refuse(where, "needs an ipc namespace in linux.namespaces");
    }
    if (name.starts_with("net.") && !HasNamespace(section, "network")) {
      return Refuse(where,
                    "is the host's in the host's network; needs a network namespace in "
                    "linux.namespaces");
    }
    if (name == "kernel.domainname" && !HasNamespace(section, "uts")) {
      return Refuse(where, "needs a uts namespace in linux.namespaces");
    }
  }
  return {};
}

// In runc's words.
Result<void> ValidateMemoryPolicy(const LinuxMemoryPolicy& policy) {
  constexpr std::array kModes = {"MPOL_DEFAULT"sv,    "MPOL_BIND"sv,
                                 "MPOL_INTERLEAVE"sv, "MPOL_WEIGHTED_INTERLEAVE"sv,
                                 "MPOL_PREFERRED"sv,  "MPOL_PREFERRED_MANY"sv,
                                 "MPOL_LOCAL"sv};
  constexpr std::array kFlags = {"MPOL_F_NUMA_BALANCING"sv, "MPOL_F_RELATIVE_NODES"sv,
                                 "MPOL_F_STATIC_NODES"sv};
  const auto refuse = [](std::string_view what, std::string_view value) {
    return Refuse("linux.memoryPolicy",
                  fmt::format("invalid memory policy {}: \"{}\"", what, value));
  };
  if (!IsOneOf(policy.mode(), kModes)) return refuse("mode", policy.mode());
  for (const std::string& flag : policy.flags()) {
    if (!IsOneOf(flag, kFlags)) return refuse("flag", flag);
  }
  if (!ValidateCpuList("nodes", policy.nodes())) return refuse("node", policy.nodes());
  const bool of_none = policy.mode() == "MPOL_DEFAULT" || policy.mode() == "MPOL_LOCAL";
  if (of_none && !policy.nodes().empty()) {
    return Refuse("linux.memoryPolicy", fmt::format("{} has no nodes", policy.mode()));
  }
  return {};
}

Result<void> ValidateLinux(const Linux& section) {
  KATA_TRY(ValidateNamespaces(section));
  KATA_TRY(ValidateUserAndTime(section));
  KATA_TRY(ValidateDevices(section));
  KATA_TRY(ValidateSysctls(section));
  if (section.has_seccomp()) KATA_TRY_WITHIN("linux.seccomp", ValidateSeccomp(section.seccomp()));
  if (!IsOneOf(section.rootfs_propagation(), kPropagations)) {
    return RefuseValue("linux.rootfsPropagation", section.rootfs_propagation(),
                       fmt::format("is none of {}", fmt::join(kPropagations.begin() + 1,
                                                              kPropagations.end(), ", ")));
  }
  if (section.has_memory_policy()) KATA_TRY(ValidateMemoryPolicy(section.memory_policy()));
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
  KATA_TRY(ValidateCpuList("cpu.cpus", cpu.cpus()));
  KATA_TRY(ValidateCpuList("cpu.mems", cpu.mems()));
  KATA_TRY(RequireRange("cpu.period", cpu.period(), 1000, 1'000'000));
  if (cpu.has_burst() && cpu.burst() > INT64_MAX) return Refuse("cpu.burst", "is too large");
  if (cpu.has_idle() && cpu.idle() != 0 && cpu.idle() != 1) {
    return Refuse("cpu.idle", fmt::format("{} is neither 0 nor 1", cpu.idle()));
  }
  KATA_TRY(RequireLimit("pids.limit", resources.pids().limit()));
  KATA_TRY(RequireRange("blockIO.weight", resources.block_io().weight(), 10, 1000));
  for (int i = 0; i < resources.devices_size(); ++i) {
    const LinuxDeviceCgroup& rule = resources.devices(i);
    const std::string where = fmt::format("devices[{}]", i);
    if (!IsOneOf(rule.type(), std::array{"a"sv, "b"sv, "c"sv})) {
      return RefuseValue(where + ".type", rule.type(), "is none of a, b, c");
    }
    // An "a" beside them says nothing, as to runc.
    if (rule.access() == "a" || rule.access().find_first_not_of("rwma") != std::string::npos) {
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
