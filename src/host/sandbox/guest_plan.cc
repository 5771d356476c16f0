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

#include "base/log.h"
#include "sys/file.h"
#include "sys/mounts.h"
#include "sys/root_dir.h"

namespace kata::sandbox {
namespace {

// Where the guest keeps the sandbox's shared memory, and its container's cgroups.
constexpr const char* kGuestShm = "/run/kata-containers/sandbox/shm";
constexpr const char* kGuestCgroups = "/kata";
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
    ns.set_own(input.by_namespaces && ns.path().empty());
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

// Adds `mount` to the plan, as itself or as something else.
Result<void> PlanMount(GuestPlan& plan, oci::Mount mount, const PlanInput& input) {
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

// The host's block device that an entry of linux.devices means; empty: none. Its path is the
// container's, which need not be the host's.
std::string FindDisk(const oci::LinuxDevice& device, const PlanInput& input) {
  if (device.major() != 0 || device.minor() != 0) {
    std::string path = input.find_block_device(
        makedev(static_cast<unsigned>(device.major()), static_cast<unsigned>(device.minor())));
    if (!path.empty()) return path;
  }
  return input.classify(device.path()) == SourceKind::kBlockDevice ? device.path() : "";
}

// Whether a rule of the device cgroup names the device and none of those lets it be written.
bool IsOnlyRead(const oci::LinuxDevice& device, const oci::LinuxResources& resources) {
  bool named = false;
  for (const oci::LinuxDeviceCgroup& rule : resources.devices()) {
    if (!rule.allow() || rule.type() != "b" || rule.major() != device.major() ||
        rule.minor() != device.minor()) {
      continue;
    }
    if (rule.access().find('w') != std::string::npos) return false;
    named = true;
  }
  return named;
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
    } else if (std::string disk = FindDisk(device, input); !disk.empty()) {
      plan.disks.push_back(
          {disk, device.path(), IsOnlyRead(device, plan.spec.linux().resources())});
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

bool Holds(const google::protobuf::RepeatedPtrField<std::string>& words, const std::string& word) {
  return std::ranges::find(words, word) != words.end();
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
  RemoveVainCapabilities(spec.mutable_process(), &plan.notes);
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

void RemoveVainCapabilities(oci::Process* process, std::vector<std::string>* notes) {
  if (!process->has_capabilities()) return;
  oci::LinuxCapabilities& sets = *process->mutable_capabilities();
  google::protobuf::RepeatedPtrField<std::string> kept;
  for (const std::string& name : sets.ambient()) {
    if (Holds(sets.permitted(), name) && Holds(sets.inheritable(), name)) *kept.Add() = name;
  }
  if (kept.size() < sets.ambient_size()) {
    notes->push_back(
        "process.capabilities.ambient is applied as far as its capabilities are permitted and "
        "inheritable");
  }
  sets.mutable_ambient()->Swap(&kept);
}

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

std::string FindBlockDevice(dev_t number) {
  constexpr std::string_view kKey = "DEVNAME=";
  constexpr size_t kMaxBytes = 4096;
  const auto text = sys::ReadFile(
      fmt::format("/sys/dev/block/{}:{}/uevent", gnu_dev_major(number), gnu_dev_minor(number)),
      kMaxBytes);
  const size_t key = text ? text->find(kKey) : std::string::npos;
  if (key == std::string::npos) return "";
  const size_t begin = key + kKey.size();
  const std::string path = "/dev/" + text->substr(begin, text->find('\n', begin) - begin);
  return ClassifySource(path) == SourceKind::kBlockDevice && DeviceNumber(path) == number ? path
                                                                                          : "";
}

SourceKind ClassifySource(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return SourceKind::kMissing;
  if (S_ISDIR(status.st_mode)) return SourceKind::kDirectory;
  if (S_ISBLK(status.st_mode)) return SourceKind::kBlockDevice;
  if (S_ISCHR(status.st_mode)) return SourceKind::kCharacterDevice;
  return SourceKind::kFile;
}

SourceKind ClassifySourceIn(int mount_namespace, const std::string& path) {
  if (mount_namespace < 0) return ClassifySource(path);
  auto kind = SourceKind::kMissing;
  LogIfFailed(sys::RunInMountNamespace(mount_namespace, [&]() -> Result<void> {
    kind = ClassifySource(path);
    return {};
  }));
  return kind;
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

Result<GuestPlan> PlanGuest(const oci::Spec& spec, const PlanInput& input) {
  GuestPlan plan;
  plan.spec = spec;
  KATA_TRY(PlanNamespaces(plan, input));
  KATA_TRY(PlanDevices(plan, input));
  plan.spec.clear_mounts();
  PlanDev(plan, spec);
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
