// SPDX-License-Identifier: Apache-2.0
//
// config/config.h - what configuration.toml decides, as plain values.
//
// The initial values are the built-in defaults. Names are those of the keys, with a unit where the
// key has one. Which words a string may hold, ranges and meaning stand in config/schema*.cc; what
// Load() returns keeps to them.
#pragma once

#include <cstdint>
#include <string>

#include "host/config/value.h"

namespace kata::config {

// [hypervisor.<name>]
struct HypervisorConfig {
  // Empty: searched in the usual places, see config/host_files.h.
  std::string path;
  std::string kernel;
  std::string initrd;
  std::string image;
  std::string virtio_fs_daemon;
  StringList valid_hypervisor_paths;
  StringList valid_virtio_fs_daemon_paths;

  std::string accelerator = "auto";    // auto, kvm, tcg
  std::string agent_channel = "auto";  // auto, vsock, virtio-serial
  std::string machine_type = "q35";    // q35
  std::string cpu_features;
  std::string kernel_params;
  std::string rootfs_type = "ext4";

  int64_t default_vcpus = 1;     // at least 1
  int64_t default_maxvcpus = 0;  // at least default_vcpus; Load() replaces 0
  int64_t default_memory_mib = 2048;
  int64_t memory_slots = 10;
  int64_t default_maxmemory_mib = 0;  // at least default_memory_mib; Load() replaces 0
  int64_t pcie_root_port = 4;         // PCI devices that can be attached to a running VM
  bool enable_hugepages = false;
  bool enable_mem_prealloc = false;
  bool reclaim_guest_freed_memory = true;

  std::string shared_fs = "virtio-fs";  // virtio-fs, none
  bool shares_files() const { return shared_fs != "none"; }
  std::string virtio_fs_cache = "auto";  // auto, always, never, metadata
  StringList virtio_fs_extra_args;
  int64_t virtio_fs_queue_size = 1024;

  std::string block_device_driver = "virtio-scsi";  // virtio-scsi, virtio-blk
  bool disable_block_device_use = false;
  bool block_device_cache_direct = false;

  bool disable_vhost_net = false;
  int64_t network_queues = 0;  // 0: one a processor

  std::string seccomp_sandbox = "on";  // empty: off
  StringList enable_annotations;
  bool enable_debug = false;
};

// [agent.kata]
struct AgentConfig {
  bool enable_debug = false;
  StringList kernel_modules;
  int64_t dial_timeout_s = 45;
  int64_t request_timeout_ms = 60'000;
  int64_t container_pipe_size_bytes = 0;
  int64_t launch_process_timeout_s = 30;
};

// [runtime]
struct RuntimeConfig {
  std::string hypervisor_name;
  bool enable_debug = false;
  std::string log_level = "info";
  bool disable_guest_seccomp = false;
  std::string internetworking_model = "tcfilter";  // tcfilter, macvtap, socket, none
  StringList egress_allow;                         // what egress::ParseRule() reads
  StringList egress_deny;
  StringList pod_egress_allow;  // of annotations, beside those
  StringList pod_egress_deny;
  int64_t create_container_timeout_s = 60;
  bool rootfs_layers = true;
  std::string rootfs_upper = "shared";    // shared, disk
  std::string rootfs_upper_size = "10G";  // what ParseByteSize() reads
  bool checkpoint_exit = false;           // where a front end does not say
  StringList data_disks = {"/var/lib/docker",   "/var/lib/containerd", "/var/lib/containers",
                           "/var/lib/buildkit", "/var/lib/rancher",    "/var/lib/rancher/k3s"};
  std::string data_disk_size = "100G";  // as rootfs_upper_size
};

// [factory]
struct FactoryConfig {
  bool enable_template = true;
  std::string template_path = "/var/lib/kata-containers/templates";
  int64_t vm_cache_number = 2;
  std::string vm_cache_endpoint = "/run/kata-containers/factory.sock";
  std::string layers_path = "/var/lib/kata-containers/layers";
  int64_t layer_cache_size_mb = 0;  // 0: a tenth of the file system, 20 GiB at most
};

// [snapshot]
struct SnapshotConfig {
  std::string path = "/var/lib/kata-containers/snapshots";
  int64_t quota_mb = 0;  // 0: a tenth of the file system
};

struct Config {
  HypervisorConfig hypervisor;
  AgentConfig agent;
  RuntimeConfig runtime;
  FactoryConfig factory;
  SnapshotConfig snapshot;
};

}  // namespace kata::config
