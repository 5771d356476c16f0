// SPDX-License-Identifier: Apache-2.0
#include "oci/readers.h"

namespace kata::oci {
namespace {

constexpr uint32_t kDefaultDeviceMode = 0666;

void ReadDevice(const Node& node, LinuxDevice* device) {
  node.Set("path", device->mutable_path());
  node.Set("type", device->mutable_type());
  node.Set("major", device, &LinuxDevice::set_major);
  node.Set("minor", device, &LinuxDevice::set_minor);
  device->set_file_mode(kDefaultDeviceMode);
  node.Set("fileMode", device, &LinuxDevice::set_file_mode);
  node.Set("uid", device, &LinuxDevice::set_uid);
  node.Set("gid", device, &LinuxDevice::set_gid);
}

void ReadTimeOffset(const Node& node, const char* clock, Linux* linux_section) {
  node.Object(clock, [&](const Node& n) {
    LinuxTimeOffset& offset = (*linux_section->mutable_time_offsets())[clock];
    n.Set("secs", &offset, &LinuxTimeOffset::set_secs);
    n.Set("nanosecs", &offset, &LinuxTimeOffset::set_nanosecs);
  });
}

}  // namespace

void ReadIdMapping(const Node& node, LinuxIDMapping* mapping) {
  node.Set("containerID", mapping, &LinuxIDMapping::set_container_id);
  node.Set("hostID", mapping, &LinuxIDMapping::set_host_id);
  node.Set("size", mapping, &LinuxIDMapping::set_size);
}

void ReadLinux(const Node& node, Linux* linux_section) {
  node.Each("uidMappings",
            [&](const Node& n) { ReadIdMapping(n, linux_section->add_uid_mappings()); });
  node.Each("gidMappings",
            [&](const Node& n) { ReadIdMapping(n, linux_section->add_gid_mappings()); });
  node.Set("sysctl", linux_section->mutable_sysctl());
  node.Object("resources",
              [&](const Node& n) { ReadResources(n, linux_section->mutable_resources()); });
  node.Set("cgroupsPath", linux_section->mutable_cgroups_path());
  node.Each("namespaces", [&](const Node& n) {
    LinuxNamespace* space = linux_section->add_namespaces();
    n.Set("type", space->mutable_type());
    n.Set("path", space->mutable_path());
  });
  node.Each("devices", [&](const Node& n) { ReadDevice(n, linux_section->add_devices()); });
  node.Object("seccomp", [&](const Node& n) { ReadSeccomp(n, linux_section->mutable_seccomp()); });
  node.Set("rootfsPropagation", linux_section->mutable_rootfs_propagation());
  node.Set("maskedPaths", linux_section->mutable_masked_paths());
  node.Set("readonlyPaths", linux_section->mutable_readonly_paths());
  node.Set("mountLabel", linux_section->mutable_mount_label());
  node.Object("intelRdt", [&](const Node& n) {
    for (const char* key : {"closID", "l3CacheSchema", "memBwSchema", "schemata", "enableCMT",
                            "enableMBM", "enableMonitoring"}) {
      n.RefuseMember(key, "guests have no Intel RDT; leave linux.intelRdt out");
    }
  });
  node.Object("personality", [&](const Node& n) {
    n.Set("domain", linux_section->mutable_personality()->mutable_domain());
    n.Set("flags", linux_section->mutable_personality()->mutable_flags());
  });
  node.Object("timeOffsets", [&](const Node& n) {
    for (const char* clock : {"monotonic", "boottime"}) ReadTimeOffset(n, clock, linux_section);
  });
  node.NoteUnsupported("netDevices", "network devices are moved into the guest by the sandbox");
  node.Object("memoryPolicy", [&](const Node& n) {
    LinuxMemoryPolicy* policy = linux_section->mutable_memory_policy();
    n.Set("mode", policy->mutable_mode());
    n.Set("nodes", policy->mutable_nodes());
    n.Set("flags", policy->mutable_flags());
  });
  node.NoteUnsupported("memoryPolicy", "guests have one NUMA node");
}

}  // namespace kata::oci
