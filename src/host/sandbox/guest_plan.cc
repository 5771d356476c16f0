// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/guest_plan.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

// As macros they would rename the accessors of the messages.
#undef major
#undef minor

#include <algorithm>
#include <cstdint>
#include <string_view>

#include <fmt/format.h>

namespace kata::sandbox {
namespace {

// Where the guest keeps the sandbox's shared memory, and its container's cgroups.
constexpr const char* kGuestShm = "/run/kata-containers/sandbox/shm";
constexpr const char* kGuestCgroups = "/kata";

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

// A container that may use every device: its list of devices is the host's, not a wish.
bool IsPrivileged(const oci::Spec& spec) {
  const auto& rules = spec.linux().resources().devices();
  return std::any_of(rules.begin(), rules.end(), [](const oci::LinuxDeviceCgroup& rule) {
    return rule.allow() && rule.type() == "a" && rule.major() < 0 && rule.minor() < 0;
  });
}

Result<void> PlanNamespaces(GuestPlan& plan, const PlanInput& input) {
  oci::Linux& linux = *plan.spec.mutable_linux();
  bool own_network = false;
  bool own_pid = false;
  bool own_ipc = false;
  google::protobuf::RepeatedPtrField<oci::LinuxNamespace> kept;
  for (oci::LinuxNamespace& ns : *linux.mutable_namespaces()) {
    if (ns.type() == "network") {
      own_network = true;
      if (!ns.path().empty()) {
        plan.notes.push_back(fmt::format(
            "network namespace {} is not connected: the guest has its loopback only", ns.path()));
      }
      continue;
    }
    if (!ns.path().empty() && input.container_kind != "pod_container") {
      return Fail(
          Code::kUnimplemented,
          fmt::format("the {} namespace \"{}\" cannot be joined from a virtual machine: only "
                      "containers of one pod share namespaces",
                      ns.type(), ns.path()));
    }
    own_ipc |= ns.type() == "ipc";
    if (ns.type() == "pid") {
      own_pid = true;
      plan.share_pid_namespace = !ns.path().empty();
      continue;
    }
    ns.clear_path();
    *kept.Add() = std::move(ns);
  }
  if (!own_pid) plan.notes.push_back("the host's processes are not visible: the guest has its own");
  if (!own_ipc)
    plan.notes.push_back("the host's IPC objects are not visible: the guest has its own");
  linux.mutable_namespaces()->Swap(&kept);
  if (!own_network) {
    return Fail(Code::kUnimplemented,
                "the host's network namespace cannot be given to a virtual machine; leave out "
                "--net=host (--net-host)");
  }
  return {};
}

// Adds `mount` to the plan, as itself or as something else.
Result<void> PlanMount(GuestPlan& plan, oci::Mount mount, const PlanInput& input) {
  const auto keep = [&plan](oci::Mount kept) {
    *plan.spec.add_mounts() = std::move(kept);
    return Result<void>();
  };
  if (!IsBind(mount)) return keep(std::move(mount));
  if (mount.destination() == "/dev/shm") {
    mount.set_source(kGuestShm);
    return keep(std::move(mount));
  }
  // The guest has its own kernel: its files, not the host's, tell the container the truth.
  if (IsBelow(mount.source(), "/proc") || IsBelow(mount.source(), "/sys") ||
      mount.source() == "/dev") {
    return keep(std::move(mount));
  }

  switch (input.classify(mount.source())) {
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
  SharedVolume volume{.mount = plan.spec.mounts_size(),
                      .source = mount.source(),
                      .destination = mount.destination(),
                      .options = {}};
  volume.options.assign(mount.options().begin(), mount.options().end());
  if (mount.type() == "bind" && !HasOption(mount, "bind") && !HasOption(mount, "rbind")) {
    volume.options.push_back("bind");
  }
  plan.volumes.push_back(std::move(volume));
  mount.set_type("bind");
  return keep(std::move(mount));
}

Result<void> PlanDevices(GuestPlan& plan, const PlanInput& input) {
  const bool privileged = IsPrivileged(plan.spec);
  auto& devices = *plan.spec.mutable_linux()->mutable_devices();
  google::protobuf::RepeatedPtrField<oci::LinuxDevice> kept;
  size_t left_out = 0;
  for (oci::LinuxDevice& device : devices) {
    if (device.type() != "b") {
      *kept.Add() = std::move(device);
    } else if (privileged) {
      ++left_out;
    } else if (input.classify(device.path()) == SourceKind::kBlockDevice) {
      plan.disks.push_back({device.path(), device.path(), false});
      *kept.Add() = std::move(device);
    } else {
      return Fail(
          Code::kNotFound,
          fmt::format("linux.devices: \"{}\": no such block device on the host", device.path()));
    }
  }
  devices.Swap(&kept);
  if (left_out > 0) {
    plan.notes.push_back(fmt::format(
        "{} block devices of the host are not given to a privileged container; name the ones that "
        "it needs with --device, without --privileged",
        left_out));
  }
  return {};
}

// What a guest's kernel, or version 2 of control groups, does not have.
void NoteLabels(GuestPlan& plan) {
  oci::Process& process = *plan.spec.mutable_process();
  oci::Linux& linux = *plan.spec.mutable_linux();
  const auto drop = [&plan](const char* field, std::string* value, const char* what) {
    if (!value->empty()) {
      plan.notes.push_back(fmt::format("{} \"{}\" is not applied: the guest's kernel has no {}",
                                       field, *value, what));
    }
    value->clear();
  };
  drop("process.apparmorProfile", process.mutable_apparmor_profile(), "AppArmor");
  drop("process.selinuxLabel", process.mutable_selinux_label(), "SELinux");
  drop("linux.mountLabel", linux.mutable_mount_label(), "SELinux");
}

void RemoveWhatStaysOnTheHost(GuestPlan& plan, const PlanInput& input) {
  oci::Spec& spec = plan.spec;
  // The host runs the others.
  plan.host_hooks = spec.hooks().prestart_size() > 0 || spec.hooks().create_runtime_size() > 0 ||
                    spec.hooks().create_container_size() > 0 ||
                    spec.hooks().start_container_size() > 0;
  oci::Hooks in_guest;
  *in_guest.mutable_start_container() = spec.hooks().start_container();
  spec.clear_hooks();
  if (in_guest.start_container_size() > 0) *spec.mutable_hooks() = std::move(in_guest);
  oci::Linux& linux = *spec.mutable_linux();
  if (!input.guest_seccomp && linux.has_seccomp()) {
    plan.notes.push_back("linux.seccomp is not applied: disable_guest_seccomp is set");
    linux.clear_seccomp();
  }
  NoteLabels(plan);
  if (linux.has_resources()) {
    RemoveHostResources(linux.mutable_resources(), plan.disks, input.device_number, &plan.notes);
  }
}

// Keeps the entries that name a disk of the container.
template <class Entries>
void KeepDisks(Entries* entries, const std::vector<GuestDisk>& disks,
               const std::function<dev_t(const std::string&)>& device_number,
               std::vector<std::string>* notes) {
  Entries kept;
  for (auto& entry : *entries) {
    const dev_t number =
        makedev(static_cast<unsigned>(entry.major()), static_cast<unsigned>(entry.minor()));
    const auto disk = std::ranges::find_if(
        disks, [&](const GuestDisk& each) { return device_number(each.source) == number; });
    if (disk == disks.end()) {
      notes->push_back(
          fmt::format("blockIO of device {}:{} is not applied: the container does not "
                      "have this disk, and shared files are not on one",
                      entry.major(), entry.minor()));
      continue;
    }
    entry.set_path(disk->container_path);
    *kept.Add() = std::move(entry);
  }
  entries->Swap(&kept);
}

}  // namespace

void RemoveHostResources(oci::LinuxResources* resources, const std::vector<GuestDisk>& disks,
                         const std::function<dev_t(const std::string&)>& device_number,
                         std::vector<std::string>* notes) {
  const auto note = [notes](bool asked, const char* field, const char* reason) {
    if (asked) notes->push_back(fmt::format("{} is not applied: {}", field, reason));
  };
  constexpr const char* kVersion2 = "version 2 of control groups does not have it";
  const oci::LinuxMemory& memory = resources->memory();
  note(memory.kernel() != 0 || memory.kernel_tcp() != 0, "memory.kernel", kVersion2);
  // 2^64-1 is how engines say "not set".
  note(memory.swappiness() != 0 && memory.swappiness() != UINT64_MAX, "memory.swappiness",
       kVersion2);
  note(memory.disable_oom_killer(), "memory.disableOOMKiller", kVersion2);
  const oci::LinuxCPU& cpu = resources->cpu();
  note(cpu.realtime_runtime() != 0 || cpu.realtime_period() != 0, "cpu.realtimeRuntime", kVersion2);
  if (!cpu.mems().empty()) {
    note(cpu.mems() != "0", "cpu.mems", "the guest has one memory node");
    resources->mutable_cpu()->clear_mems();
  }
  note(resources->network().class_id() != 0 || resources->network().priorities_size() > 0,
       "network", kVersion2);
  if (!resources->has_block_io()) return;
  oci::LinuxBlockIO& io = *resources->mutable_block_io();
  note(io.leaf_weight() != 0, "blockIO.leafWeight", kVersion2);
  KeepDisks(io.mutable_weight_device(), disks, device_number, notes);
  for (auto* entries :
       {io.mutable_throttle_read_bps_device(), io.mutable_throttle_write_bps_device(),
        io.mutable_throttle_read_iops_device(), io.mutable_throttle_write_iops_device()}) {
    KeepDisks(entries, disks, device_number, notes);
  }
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

dev_t DeviceNumber(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? status.st_rdev : 0;
}

SourceKind ClassifySource(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return SourceKind::kMissing;
  if (S_ISDIR(status.st_mode)) return SourceKind::kDirectory;
  if (S_ISBLK(status.st_mode)) return SourceKind::kBlockDevice;
  if (S_ISCHR(status.st_mode)) return SourceKind::kCharacterDevice;
  return SourceKind::kFile;
}

Result<GuestPlan> PlanGuest(const oci::Spec& spec, const PlanInput& input) {
  GuestPlan plan;
  plan.spec = spec;
  KATA_TRY(PlanNamespaces(plan, input));
  KATA_TRY(PlanDevices(plan, input));
  plan.spec.clear_mounts();
  for (const oci::Mount& mount : spec.mounts()) KATA_TRY(PlanMount(plan, mount, input));
  RemoveWhatStaysOnTheHost(plan, input);
  plan.spec.mutable_linux()->set_cgroups_path(
      fmt::format("{}/{}", kGuestCgroups, input.container_id));
  auto& annotations = *plan.spec.mutable_annotations();
  annotations["io.katacontainers.pkg.oci.bundle_path"] = input.bundle;
  annotations["io.katacontainers.pkg.oci.container_type"] = input.container_kind;
  return plan;
}

}  // namespace kata::sandbox
