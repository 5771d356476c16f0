// SPDX-License-Identifier: Apache-2.0
#include "host/config/schema.h"

#define KATA_AGENT(member) ([](Config& c) { return &c.agent.member; })
#define KATA_RUNTIME(member) ([](Config& c) { return &c.runtime.member; })

namespace kata::config {
namespace {

constexpr int64_t kDaySeconds = 86'400;

const Key kAgentKeys[] = {
    {.table = Table::kAgent,
     .name = "enable_debug",
     .field = KATA_AGENT(enable_debug),
     .help = "The agent logs at level debug."},
    {.table = Table::kAgent,
     .name = "kernel_modules",
     .field = KATA_AGENT(kernel_modules),
     .help =
         "Modules that the guest loads before the first container, each a name and its parameters, "
         "separated by spaces: `ip_vs conn_tab_bits=16`. One that the guest's kernel lacks fails "
         "the sandbox (docs/guest-kernel.md).",
     .annotation = "kernel_modules",
     .separator = ';'},
    {.table = Table::kAgent,
     .name = "dial_timeout",
     .field = KATA_AGENT(dial_timeout_s),
     .help = "How long the agent may take to answer after the VM was started.",
     .low = 1,
     .high = kDaySeconds,
     .unit = "seconds"},
    {.table = Table::kAgent,
     .name = "request_timeout_ms",
     .field = KATA_AGENT(request_timeout_ms),
     .help = "How long the agent may take for an ordinary request.",
     .low = 100,
     .high = kDaySeconds * 1000,
     .unit = "milliseconds"},
    {.table = Table::kAgent,
     .name = "create_container_timeout",
     .field = KATA_RUNTIME(create_container_timeout_s),
     .help = "Another spelling of `create_container_timeout` in `[runtime]`.",
     .low = 1,
     .high = kDaySeconds,
     .unit = "seconds",
     .alias_of = "create_container_timeout",
     .alias_table = Table::kRuntime},
    {.table = Table::kAgent,
     .name = "launch_process_timeout",
     .field = KATA_AGENT(launch_process_timeout_s),
     .help = "How long a process in the guest may take from its creation to its program.",
     .low = 1,
     .high = kDaySeconds,
     .unit = "seconds"},
    {.table = Table::kAgent,
     .name = "container_pipe_size",
     .field = KATA_AGENT(container_pipe_size_bytes),
     .help = "Size of the pipes of a container's standard streams in the guest. 0: the kernel's "
             "default.",
     .high = 1 << 20,
     .unit = "bytes",
     .annotation = "container_pipe_size"},
};

constexpr std::string_view kAgentWithoutEffect[] = {
    "cdh_api_timeout",
    "cdh_api_timeout_ms",
    "debug_console_enabled",
    "dial_timeout_ms",
    "enable_tracing",
    "health_check_request_timeout_ms",
    "log_level",
    "log_port",
    "mem_agent",
    "passfd_listener_port",
    "policy",
    "reconnect_timeout_ms",
    "server_port",
    "visible_cdi_devices",
};

const Key kRuntimeKeys[] = {
    {.table = Table::kRuntime,
     .name = "hypervisor_name",
     .field = KATA_RUNTIME(hypervisor_name),
     .help = "The VMM, and so the `[hypervisor.<name>]` table that counts: `qemu` is the only one "
             "yet. Empty: the one whose table is there, `qemu` where none is."},
    {.table = Table::kRuntime,
     .name = "enable_debug",
     .field = KATA_RUNTIME(enable_debug),
     .help = "The runtime logs at level debug."},
    {.table = Table::kRuntime,
     .name = "log_level",
     .field = KATA_RUNTIME(log_level),
     .help = "The least important lines that the runtime logs.",
     .words = "trace|debug|info|warn|error"},
    {.table = Table::kRuntime,
     .name = "disable_guest_seccomp",
     .field = KATA_RUNTIME(disable_guest_seccomp),
     .help = "Containers run without the seccomp profile that their caller gave.",
     .annotation = "disable_guest_seccomp"},
    {.table = Table::kRuntime,
     .name = "internetworking_model",
     .field = KATA_RUNTIME(internetworking_model),
     .help = "How interfaces of the network namespace are connected with the VM: `tcfilter` moves "
             "their frames to a tap and back, `macvtap` puts a macvtap on each, `none` does not. "
             "The next one is taken where frames do not pass. `socket` opens a socket of the "
             "namespace for each connection, as is always done where the namespace is not the "
             "container's alone.",
     .words = "tcfilter|macvtap|socket|none",
     .annotation = "internetworking_model"},
    {.table = Table::kRuntime,
     .name = "egress_allow",
     .field = KATA_RUNTIME(egress_allow),
     .help =
         "Exceptions from `egress_deny`. A pod's are exceptions from what the pod itself denies, "
         "not from what is denied here.",
     .annotation = "egress_allow",
     .beside = KATA_RUNTIME(pod_egress_allow),
     .separator = ';'},
    {.table = Table::kRuntime,
     .name = "egress_deny",
     .field = KATA_RUNTIME(egress_deny),
     .help =
         "Where a sandbox may not send to: networks in CIDR notation, ports with a protocol, or "
         "both: `10.0.0.0/8`, `25/tcp`, `0.0.0.0/0 1-1023/udp`, `::/0 icmp`. What a pod denies "
         "is denied as well (docs/network.md).",
     .annotation = "egress_deny",
     .beside = KATA_RUNTIME(pod_egress_deny),
     .separator = ';'},
    {.table = Table::kRuntime,
     .name = "create_container_timeout",
     .field = KATA_RUNTIME(create_container_timeout_s),
     .help = "How long the creation of a container in the guest may take.",
     .low = 1,
     .high = kDaySeconds,
     .unit = "seconds",
     .annotation = "create_container_timeout"},
    {.table = Table::kRuntime,
     .name = "rootfs_layers",
     .field = KATA_RUNTIME(rootfs_layers),
     .help =
         "The read-only layers below a root that is an overlay become disk images, one a layer, "
         "made in the background after the first start of each, from which guests read without "
         "the host's help. Needs `mkfs.erofs` (erofs-utils) 1.5 or later. What cannot be had so "
         "is shared as without it.",
     .annotation = "rootfs_layers",
     .grants_rights = true},
    {.table = Table::kRuntime,
     .name = "rootfs_upper",
     .field = KATA_RUNTIME(rootfs_upper),
     .help = "With `rootfs_layers`, where a container's changes to its root go: `shared` writes "
             "them into the host's own directory at once, `disk` to a disk image beside it, which "
             "is faster, and from which they are brought back when the container is paused or ends "
             "(docs/layers.md).",
     .words = "shared|disk",
     .annotation = "rootfs_upper"},
    {.table = Table::kRuntime,
     .name = "rootfs_upper_size",
     .field = KATA_RUNTIME(rootfs_upper_size),
     .help = "The size of that disk image, which takes of the host's disk what is written: a whole "
             "number and one of `K`, `M`, `G`, `T`.",
     .annotation = "rootfs_upper_size"},
    {.table = Table::kRuntime,
     .name = "checkpoint_exit",
     .field = KATA_RUNTIME(checkpoint_exit),
     .help = "A checkpoint of a front end that does not say whether the container goes on (Docker "
             "by the shim) ends it. Else it goes on (docs/snapshots.md).",
     .annotation = "checkpoint_exit"},
    {.table = Table::kRuntime,
     .name = "data_disks",
     .field = KATA_RUNTIME(data_disks),
     .help =
         "Directories in which a daemon in a container mounts overlays: of one with "
         "CAP_SYS_ADMIN, they become ext4 disks of the guest, in a file in the empty volume that "
         "is mounted there or beside the container's own files (docs/docker.md).",
     .annotation = "data_disks"},
    {.table = Table::kRuntime,
     .name = "data_disk_size",
     .field = KATA_RUNTIME(data_disk_size),
     .help = "The most that a new disk of `data_disks` holds, written as `rootfs_upper_size`; its "
             "file takes what is in use. Less where the host's file system has less room.",
     .annotation = "data_disk_size"},
};

constexpr std::string_view kRuntimeWithoutEffect[] = {
    "agent_name",
    "dan_conf",
    "disable_guest_empty_dir",
    "disable_new_netns",
    "emptydir_mode",
    "enable_pprof",
    "enable_tracing",
    "enable_vcpus_pinning",
    "experimental",
    "guest_selinux_label",
    "jaeger_endpoint",
    "jaeger_password",
    "jaeger_user",
    "keep_abnormal",
    "kubelet_root_dir",
    "name",
    "passfd_listener_port",
    "pod_resource_api_sock",
    "sandbox_bind_mounts",
    "sandbox_cgroup_only",
    "shared_mounts",
    "static_sandbox_resource_mgmt",
    "use_passfd_io",
    "vfio_mode",
};

}  // namespace

std::span<const Key> AgentKeys() { return kAgentKeys; }
std::span<const Key> RuntimeKeys() { return kRuntimeKeys; }

namespace internal {
std::span<const std::string_view> HypervisorKeysWithoutEffect();
}

std::span<const std::string_view> KeysWithoutEffect(Table table) {
  switch (table) {
    case Table::kHypervisor:
      return internal::HypervisorKeysWithoutEffect();
    case Table::kAgent:
      return kAgentWithoutEffect;
    case Table::kFactory:
    case Table::kSnapshot:
      return {};
    case Table::kRuntime:
      break;
  }
  return kRuntimeWithoutEffect;
}

}  // namespace kata::config
