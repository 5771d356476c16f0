// SPDX-License-Identifier: Apache-2.0
#include "host/plan/guest_mounts.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "host/plan/inherited_flags.h"
#include "oci/id_map.h"
#include "sys/root_dir.h"

namespace kata::sandbox {
namespace {

// Where the guest keeps the sandbox's shared memory.
constexpr const char* kGuestShm = "/run/kata-containers/sandbox/shm";
constexpr const char* kCgroups = "/sys/fs/cgroup";

bool IsBelow(std::string_view path, std::string_view directory) {
  return path == directory ||
         (path.starts_with(directory) && path.substr(directory.size()).starts_with('/'));
}

bool IsBind(const oci::Mount& mount) {
  if (mount.type() == "bind") return true;
  return std::any_of(mount.options().begin(), mount.options().end(),
                     [](const std::string& word) { return word == "bind" || word == "rbind"; });
}

bool HasOption(const oci::Mount& mount, std::string_view word) {
  return std::find(mount.options().begin(), mount.options().end(), word) != mount.options().end();
}

// An overlay of directories of the host, as engines make it for images and volumes, is mounted
// there and shared like a volume.
void PlanOverlay(GuestPlan& plan, oci::Mount mount) {
  SharedVolume volume{.mount = plan.spec.mounts_size(),
                      .source = mount.source(),
                      .destination = mount.destination(),
                      .options = {mount.options().begin(), mount.options().end()},
                      .overlay = true};
  plan.volumes.push_back(std::move(volume));
  mount.set_type("bind");
  google::protobuf::RepeatedPtrField<std::string> kept;
  *kept.Add() = "rbind";
  for (std::string& word : *mount.mutable_options()) {
    if (word.find('=') == std::string::npos) *kept.Add() = std::move(word);
  }
  mount.mutable_options()->Swap(&kept);
  *plan.spec.add_mounts() = std::move(mount);
}

bool IsIdMapped(const oci::Mount& mount) {
  return mount.uid_mappings_size() > 0 || HasOption(mount, "idmap") || HasOption(mount, "ridmap");
}

// Takes the mapping out of `mount`: ids are mapped on the host, where the file system is. Words
// without a mapping mean the container's own.
Result<storage::IdMapping> TakeIdMapping(const oci::Linux& container, oci::Mount* mount) {
  const bool own = mount->uid_mappings_size() > 0;
  storage::IdMapping ids;
  ids.uids = KATA_TRY(oci::ToIdMap(own ? mount->uid_mappings() : container.uid_mappings()));
  ids.gids = KATA_TRY(oci::ToIdMap(own ? mount->gid_mappings() : container.gid_mappings()));
  ids.recursive = HasOption(*mount, "ridmap");
  mount->clear_uid_mappings();
  mount->clear_gid_mappings();
  google::protobuf::RepeatedPtrField<std::string> kept;
  for (std::string& word : *mount->mutable_options()) {
    if (word != "idmap" && word != "ridmap") *kept.Add() = std::move(word);
  }
  mount->mutable_options()->Swap(&kept);
  return ids;
}

bool HasUserNamespace(const oci::Spec& spec) {
  return std::ranges::any_of(spec.linux().namespaces(),
                             [](const auto& each) { return each.type() == "user"; });
}

// Adds `mount` to the plan, as itself or as something else.
Result<void> PlanMount(GuestPlan& plan, const oci::Spec& spec, oci::Mount mount,
                       const PlanInput& input) {
  const auto keep = [&plan](oci::Mount kept) {
    *plan.spec.add_mounts() = std::move(kept);
    return Result<void>();
  };
  const bool of_host = std::ranges::any_of(
      mount.options(), [](const std::string& word) { return word.starts_with("lowerdir="); });
  if (mount.type() == "overlay" && of_host) {
    PlanOverlay(plan, std::move(mount));
    return {};
  }
  if (mount.destination() == "/dev/shm" && !IsBind(mount) && input.only_joined &&
      plan.share_ipc_namespace) {
    // Of the namespace that it joins: the pod's, as every member of the pod asks for it.
    mount.set_type("bind");
    mount.clear_options();
    mount.add_options("rbind");
    mount.set_source(kGuestShm);
    return keep(std::move(mount));
  }
  if (!IsBind(mount)) return keep(std::move(mount));
  if (mount.destination() == "/dev/shm") {
    mount.set_source(kGuestShm);
    return keep(std::move(mount));
  }
  if (!mount.source().empty() && !mount.source().starts_with('/')) {
    mount.set_source(fmt::format("{}/{}", input.bundle, mount.source()));
  }
  if (mount.source() != kCgroups && IsBelow(mount.source(), kCgroups)) {
    plan.notes.push_back(
        fmt::format("mount {}: the guest has version 2 of control groups, and no {}",
                    mount.destination(), mount.source()));
    return {};
  }
  // The guest has its own kernel: its files, not the host's, tell the container the truth.
  if (IsBelow(mount.source(), "/proc") || IsBelow(mount.source(), "/sys") ||
      mount.source() == "/dev") {
    return keep(std::move(mount));
  }

  if (auto direct = KATA_TRY(input.direct_volumes.Find(mount.source()))) {
    plan.direct.push_back({plan.spec.mounts_size(), mount.source(), *std::move(direct)});
    mount.set_type("bind");
    return keep(std::move(mount));
  }

  const Source source = input.look_at(mount.source());
  switch (source.kind) {
    case SourceKind::kMissing:
      return Fail(Code::kNotFound,
                  fmt::format("mount \"{}\": source \"{}\": no such file or directory",
                              mount.destination(), mount.source()));
    case SourceKind::kCharacterDevice:
      return keep(std::move(mount));
    case SourceKind::kBlockDevice: {
      plan.disks.push_back({mount.source(), mount.destination(), HasOption(mount, "ro")});
      oci::LinuxDevice& node = *plan.spec.mutable_linux()->add_devices();
      node.set_path(mount.destination());
      node.set_type("b");
      node.set_file_mode(0600);
      return {};
    }
    case SourceKind::kFile:
    case SourceKind::kDirectory:
      break;
  }
  if (HasOption(mount, "rshared") || HasOption(mount, "shared")) {
    plan.notes.push_back(
        fmt::format("mount {}: what the container mounts there stays in the virtual machine",
                    mount.destination()));
  }
  SharedVolume volume{.mount = plan.spec.mounts_size(),
                      .source = mount.source(),
                      .destination = mount.destination(),
                      .options = {}};
  if (IsIdMapped(mount)) volume.ids = KATA_TRY(TakeIdMapping(plan.spec.linux(), &mount));
  volume.options.assign(mount.options().begin(), mount.options().end());
  if (mount.type() == "bind" && !HasOption(mount, "bind") && !HasOption(mount, "rbind")) {
    volume.options.push_back("bind");
  }
  plan.volumes.push_back(std::move(volume));
  KATA_TRY(InheritFlags(source.mount_flags, HasUserNamespace(spec), &mount));
  mount.set_type("bind");
  return keep(std::move(mount));
}

// The guest cannot make devices in a root that is read-only on the host.
void PlanDev(GuestPlan& plan, const oci::Spec& spec) {
  const bool mounted = std::ranges::any_of(spec.mounts(), [](const oci::Mount& mount) {
    return sys::CleanPath(mount.destination()) == "/dev";
  });
  if (mounted || !spec.root().readonly()) return;
  oci::Mount& dev = *plan.spec.add_mounts();
  dev.set_destination("/dev");
  dev.set_type("tmpfs");
  dev.set_source("tmpfs");
  for (const char* option : {"nosuid", "strictatime", "mode=755", "size=65536k"}) {
    dev.add_options(option);
  }
  plan.notes.push_back("/dev of a read-only root is a tmpfs: the image's own cannot take devices");
}

}  // namespace

Result<void> PlanMounts(const oci::Spec& spec, const PlanInput& input, GuestPlan* plan) {
  plan->spec.clear_mounts();
  PlanDev(*plan, spec);
  for (const oci::Mount& mount : spec.mounts()) {
    const size_t volumes = plan->volumes.size();
    KATA_TRY(PlanMount(*plan, spec, mount, input));
    const bool mapped = plan->volumes.size() > volumes && plan->volumes.back().ids;
    if (IsIdMapped(mount) && !mapped) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("mount \"{}\": only files and directories of the host can have their "
                              "ids mapped",
                              mount.destination()));
    }
  }
  return {};
}

storage::RootUse PlanRootUse(const oci::Spec& spec, bool host_hooks) {
  constexpr std::string_view kPath = "PATH=";
  storage::RootUse use{.program = spec.process().args(0),
                       .cwd = spec.process().cwd(),
                       .search_path = {},
                       .mounts = {},
                       .hooks = host_hooks};
  for (const std::string& entry : spec.process().env()) {
    if (entry.starts_with(kPath)) use.search_path = entry.substr(kPath.size());
  }
  for (const oci::Mount& mount : spec.mounts()) {
    const bool kernel = mount.type() == "proc" || mount.type() == "sysfs" ||
                        mount.destination() == "/dev" || mount.destination() == "/proc" ||
                        mount.destination() == "/sys";
    const bool empty = mount.type() == "tmpfs" && !HasOption(mount, "tmpcopyup");
    use.mounts.push_back(
        {.destination = mount.destination(), .kernel = kernel, .files = !kernel && !empty});
  }
  return use;
}

}  // namespace kata::sandbox
