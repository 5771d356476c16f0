// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/mount_plan.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "sys/root_dir.h"

namespace kata::guest {
namespace {

constexpr std::string_view kCoverable[] = {
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
};

PlannedMount::Kind KindOf(const oci::Mount& mount, const sys::MountOptions& options) {
  if (options.bind() || mount.type() == "bind") return PlannedMount::Kind::kBind;
  if (mount.type() == "proc" || mount.type() == "sysfs") return PlannedMount::Kind::kKernel;
  if (mount.type() == "cgroup" || mount.type() == "cgroup2") return PlannedMount::Kind::kCgroup;
  if (mount.type() == "tmpfs") return PlannedMount::Kind::kTmpfs;
  return PlannedMount::Kind::kOther;
}

Result<PlannedMount> PlanMount(const oci::Mount& mount) {
  PlannedMount planned;
  if (mount.destination().empty()) return Fail(Code::kInvalidArgument, "mount: no destination");
  planned.destination = sys::CleanPath(mount.destination());
  planned.source = mount.source();
  planned.options = sys::ParseMountOptions(mount.options());
  planned.kind = KindOf(mount, planned.options);
  const auto refuse = [&](Code code, std::string_view why) {
    return Fail(code, fmt::format("mount on \"{}\": {}", planned.destination, why));
  };
  if (planned.options.id_mapped) {
    return refuse(Code::kUnimplemented, "mapped user ids are not supported");
  }
  switch (planned.kind) {
    case PlannedMount::Kind::kBind:
      if (planned.source.empty()) return refuse(Code::kInvalidArgument, "bind without a source");
      if (!planned.source.starts_with('/')) {
        return refuse(Code::kInvalidArgument,
                      fmt::format("source \"{}\" is not absolute", planned.source));
      }
      return planned;
    case PlannedMount::Kind::kCgroup:
      // Whatever hierarchy the host has, the guest has version 2; options such as "memory" chose a
      // version 1 controller.
      planned.type = "cgroup2";
      planned.options.data.clear();
      break;
    default:
      planned.type = mount.type();
      break;
  }
  if (planned.type.empty() || planned.type == "none") {
    return refuse(Code::kInvalidArgument, "no file system type");
  }
  if (planned.options.copy_up && planned.kind != PlannedMount::Kind::kTmpfs) {
    return refuse(Code::kInvalidArgument, "tmpcopyup is for tmpfs");
  }
  if (planned.source.empty()) planned.source = planned.type;
  return planned;
}

}  // namespace

Result<std::vector<PlannedMount>> PlanMounts(const oci::Spec& spec) {
  std::vector<PlannedMount> mounts;
  for (const oci::Mount& mount : spec.mounts()) mounts.push_back(KATA_TRY(PlanMount(mount)));
  return mounts;
}

bool MayCoverInProc(std::string_view name) {
  // /proc/net is a link to self/net, so its files show as /proc/<pid>/net/...
  if (const size_t net = name.find("/net/dev"); net != std::string_view::npos) {
    const std::string_view pid = name.substr(0, net);
    if (name.ends_with("/net/dev") && pid.starts_with("/proc/") &&
        pid.find_first_not_of("0123456789", 6) == std::string_view::npos) {
      return true;
    }
  }
  return std::ranges::find(kCoverable, name) != std::end(kCoverable);
}

bool NeedsDevices(const std::vector<PlannedMount>& mounts) {
  return std::ranges::none_of(mounts, [](const PlannedMount& mount) {
    return mount.kind == PlannedMount::Kind::kBind && mount.destination == "/dev";
  });
}

}  // namespace kata::guest
