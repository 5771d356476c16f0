// SPDX-License-Identifier: Apache-2.0
#include "host/plan/guest_plan.h"

#include <sys/sysmacros.h>

// As macros they would rename the accessors of the messages.
#undef major
#undef minor

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

#include "host/plan/guest_mounts.h"
#include "oci/usable_capabilities.h"

namespace kata::sandbox {
namespace {

// Where the guest keeps its containers' cgroups.
constexpr const char* kGuestCgroups = "/kata";

// A container that may use every device: its list of devices is the host's, not a wish.
bool IsPrivileged(const oci::Spec& spec) {
  const auto& rules = spec.linux().resources().devices();
  return std::any_of(rules.begin(), rules.end(), [](const oci::LinuxDeviceCgroup& rule) {
    return rule.allow() && rule.type() == "a" && rule.major() < 0 && rule.minor() < 0;
  });
}

Result<void> PlanNamespaces(GuestPlan& plan, const PlanInput& input) {
  oci::Linux& linux = *plan.spec.mutable_linux();
  bool own_pid = false;
  bool own_ipc = false;
  bool own_uts = false;
  google::protobuf::RepeatedPtrField<oci::LinuxNamespace> kept;
  for (oci::LinuxNamespace& ns : *linux.mutable_namespaces()) {
    if (ns.type() == "network") {
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
    own_uts |= ns.type() == "uts";
    plan.share_ipc_namespace |= ns.type() == "ipc" && !ns.path().empty();
    if (ns.type() == "pid") {
      own_pid = true;
      plan.share_pid_namespace = !ns.path().empty();
      continue;
    }
    ns.set_own(input.by_namespaces && ns.path().empty());
    ns.clear_path();
    *kept.Add() = std::move(ns);
  }
  const auto add_own = [&kept](const char* type) {
    oci::LinuxNamespace& added = *kept.Add();
    added.set_type(type);
    added.set_own(true);
  };
  if (input.only_joined && !own_ipc) add_own("ipc");
  if (input.only_joined && !own_uts) add_own("uts");
  if (!own_pid) plan.notes.push_back("the host's processes are not visible: the guest has its own");
  if (!own_ipc)
    plan.notes.push_back("the host's IPC objects are not visible: the guest has its own");
  linux.mutable_namespaces()->Swap(&kept);
  return {};
}

// The host's block device that an entry of linux.devices means; empty: none. Its path is the
// container's, which need not be the host's.
std::string FindDisk(const oci::LinuxDevice& device, const PlanInput& input) {
  if (device.major() != 0 || device.minor() != 0) {
    std::string path = input.find_block_device(
        makedev(static_cast<unsigned>(device.major()), static_cast<unsigned>(device.minor())));
    if (!path.empty()) return path;
  }
  return input.look_at(device.path()).kind == SourceKind::kBlockDevice ? device.path() : "";
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
  std::ranges::move(oci::RemoveUnusableCapabilities(spec.mutable_process()),
                    std::back_inserter(plan.notes));
  if (linux.has_resources()) {
    RemoveHostResources(linux.mutable_resources(), plan.disks, input.device_number, &plan.notes);
  }
}

}  // namespace

Result<GuestPlan> PlanGuest(const oci::Spec& spec, const PlanInput& input) {
  GuestPlan plan;
  plan.spec = spec;
  KATA_TRY(PlanNamespaces(plan, input));
  KATA_TRY(PlanDevices(plan, input));
  KATA_TRY(PlanMounts(spec, input, &plan));
  RemoveWhatStaysOnTheHost(plan, input);
  plan.spec.mutable_linux()->set_cgroups_path(
      fmt::format("{}/{}", kGuestCgroups, input.container_id));
  auto& annotations = *plan.spec.mutable_annotations();
  annotations["io.katacontainers.pkg.oci.bundle_path"] = input.bundle;
  annotations["io.katacontainers.pkg.oci.container_type"] = input.container_kind;
  return plan;
}

}  // namespace kata::sandbox
