// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/guest_plan.h"

#include <sys/stat.h>

#include <algorithm>
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

Result<void> PlanNamespaces(GuestPlan& plan) {
  oci::Linux& linux = *plan.spec.mutable_linux();
  bool own_network = false;
  google::protobuf::RepeatedPtrField<oci::LinuxNamespace> kept;
  for (oci::LinuxNamespace& ns : *linux.mutable_namespaces()) {
    if (ns.type() == "network") {
      own_network = true;
      if (!ns.path().empty()) {
        plan.notes.push_back(fmt::format(
            "network namespace {} is not connected: the guest has its loopback only", ns.path()));
      }
    } else if (ns.type() == "pid") {
      plan.share_pid_namespace = !ns.path().empty();
    } else if (ns.type() == "time") {
      plan.notes.push_back("time namespace: the guest has a clock of its own");
    } else {
      ns.clear_path();
      *kept.Add() = std::move(ns);
    }
  }
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

void PlanDevices(GuestPlan& plan, const PlanInput& input) {
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
      plan.notes.push_back(
          fmt::format("device {}: no such block device on the host", device.path()));
    }
  }
  devices.Swap(&kept);
  if (left_out > 0) {
    plan.notes.push_back(fmt::format(
        "{} block devices of the host are not given to a privileged container; name the ones that "
        "it needs with --device, without --privileged",
        left_out));
  }
}

void RemoveWhatStaysOnTheHost(GuestPlan& plan, const PlanInput& input) {
  oci::Spec& spec = plan.spec;
  if (spec.has_hooks()) {
    const oci::Hooks& hooks = spec.hooks();
    const int count = hooks.prestart_size() + hooks.poststart_size() + hooks.poststop_size() +
                      hooks.create_runtime_size() + hooks.create_container_size() +
                      hooks.start_container_size();
    if (count > 0) plan.notes.push_back(fmt::format("{} hooks are not run", count));
    spec.clear_hooks();
  }
  oci::Linux& linux = *spec.mutable_linux();
  if (!input.guest_seccomp) linux.clear_seccomp();
  linux.clear_mount_label();
  spec.mutable_process()->clear_apparmor_profile();
  spec.mutable_process()->clear_selinux_label();
  // Numbers of the host's processors and memory nodes mean nothing in the guest.
  if (linux.has_resources() && linux.resources().has_cpu()) {
    linux.mutable_resources()->mutable_cpu()->clear_cpus();
    linux.mutable_resources()->mutable_cpu()->clear_mems();
  }
}

}  // namespace

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
  KATA_TRY(PlanNamespaces(plan));
  PlanDevices(plan, input);
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
