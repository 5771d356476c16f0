// SPDX-License-Identifier: Apache-2.0
#include "host/cli/checks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "host/cli/host.h"
#include "sys/files.h"

namespace kata::cli {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr int64_t kTightMemoryMib = 512;

Finding CheckCpu(const std::string& root) {
  const Cpu cpu = ReadCpu(root);
  Finding finding{.name = "cpu"};
  if (!cpu.virtualization.empty()) {
    finding.detail = fmt::format("{} with {}", cpu.model, cpu.virtualization);
    return finding;
  }
  finding.verdict = Verdict::kNote;
  finding.detail = fmt::format("{} shows neither vmx nor svm", cpu.model);
  finding.remedy =
      "switch virtualization on in the firmware, or nested virtualization on the machine's host; "
      "without it VMs are emulated";
  return finding;
}

struct DeviceCheck {
  const char* name;
  const char* path;
  const char* missing;  // what happens without it
  const char* remedy;
};

constexpr DeviceCheck kDevices[] = {
    {"kvm", "/dev/kvm", "VMs are emulated", "modprobe kvm_intel, or modprobe kvm_amd"},
    {"vhost-vsock", "/dev/vhost-vsock", "the agent is reached over a virtio-serial port",
     "modprobe vhost_vsock"},
    {"vhost-net", "/dev/vhost-net", "network packets pass through the VMM", "modprobe vhost_net"},
    {"tun", "/dev/net/tun", "VMs have no network", "modprobe tun"},
};

Finding CheckDevice(const std::string& root, const DeviceCheck& device) {
  Finding finding{.name = device.name};
  const std::string path = root + device.path;
  if (const auto fd = sys::Open(path, O_RDWR | O_NONBLOCK)) {
    finding.detail = fmt::format("{} opens", device.path);
    return finding;
  } else {
    finding.verdict = Verdict::kNote;
    const bool absent = fd.error().code() == Code::kNotFound;
    finding.detail =
        fmt::format("{}: {}", absent ? fmt::format("no {}", device.path) : fd.error().message(),
                    device.missing);
    if (fd.error().code() == Code::kPermissionDenied) {
      finding.remedy = "run as root";
    } else {
      finding.remedy = device.remedy;
    }
  }
  return finding;
}

Finding CheckCgroups(const std::string& root) {
  const Cgroups cgroups = ReadCgroups(root);
  Finding finding{.name = "cgroups"};
  if (cgroups.layout == "none") {
    finding.verdict = Verdict::kNote;
    finding.detail = "none mounted: limits of pods do not hold for VMMs";
    finding.remedy = "mount -t cgroup2 none /sys/fs/cgroup";
    return finding;
  }
  finding.detail = cgroups.layout;
  if (!cgroups.v1_controllers.empty()) {
    finding.detail += fmt::format(", v1: {}", fmt::join(cgroups.v1_controllers, " "));
  }
  if (!cgroups.v2_controllers.empty()) {
    finding.detail += fmt::format(", v2: {}", fmt::join(cgroups.v2_controllers, " "));
  }
  return finding;
}

Finding CheckMemory(const std::string& root, const config::Loaded& loaded) {
  const Memory memory = ReadMemory(root);
  const int64_t vm = loaded.config.hypervisor.default_memory_mib;
  Finding finding{.name = "memory",
                  .detail = fmt::format("{} MiB available of {}, a VM may use up to {}",
                                        memory.available_mib, memory.total_mib, vm)};
  if (memory.available_mib < vm) {
    finding.verdict = Verdict::kNote;
    finding.remedy = fmt::format("lower default_memory in [{}] of configuration.toml",
                                 loaded.TableOf(config::Table::kHypervisor));
  }
  if (memory.available_mib < kTightMemoryMib && memory.available_mib < vm) {
    finding.verdict = Verdict::kProblem;
    finding.remedy = "free some memory, or lower default_memory";
  }
  return finding;
}

Finding CheckRunSpace(const std::string& root) {
  const std::string directory = root + "/run";
  Finding finding{.name = "/run"};
  const auto space = FreeSpace(directory);
  if (!space) {
    finding.verdict = Verdict::kProblem;
    finding.detail = space.error().message();
    finding.remedy = "mount a tmpfs at /run";
    return finding;
  }
  finding.detail = fmt::format("{} MiB free", space->free_bytes / kMiB);
  const bool full = space->free_bytes < kMiB || space->free_inodes < 64;
  if (full) {
    finding.verdict = Verdict::kProblem;
    finding.detail += space->free_inodes < 64 ? ", no inodes left" : "";
  } else if (space->free_bytes < 16 * kMiB) {
    finding.verdict = Verdict::kNote;
  }
  if (finding.verdict != Verdict::kOk) {
    finding.remedy = "remove files below /run, or mount -o remount,size=... /run";
  }
  return finding;
}

Finding CheckUser() {
  if (::geteuid() == 0) return {.name = "user", .detail = "root"};
  return {.name = "user",
          .verdict = Verdict::kProblem,
          .detail = fmt::format("user id {}: containers need root", ::geteuid()),
          .remedy = "run as root"};
}

}  // namespace

std::vector<Finding> CheckHost(const std::string& root, const config::Loaded& loaded) {
  std::vector<Finding> findings;
  findings.push_back(CheckUser());
  findings.push_back(CheckCpu(root));
  for (const DeviceCheck& device : kDevices) findings.push_back(CheckDevice(root, device));
  findings.push_back(CheckCgroups(root));
  findings.push_back(CheckMemory(root, loaded));
  findings.push_back(CheckRunSpace(root));
  return findings;
}

}  // namespace kata::cli
