// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/argv.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "host/hypervisor/qemu/devices.h"

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

constexpr uint32_t kMinMemoryMib = 64;
constexpr uint32_t kMaxMemoryMib = 16 << 20;
constexpr uint32_t kMaxCpus = 255;
constexpr uint32_t kMaxSlots = 256;
constexpr size_t kMaxKernelCommandLine = 2047;  // COMMAND_LINE_SIZE of Linux on x86, less the NUL

// Collects the line and gives descriptors their numbers in QEMU, 3 upwards.
class Builder {
 public:
  void Add(std::string option) { line_.argv.push_back(std::move(option)); }
  void Add(std::string option, std::string value) {
    Add(std::move(option));
    Add(std::move(value));
  }
  int Inherit(int fd) {
    const int number = 3 + static_cast<int>(line_.fds.size());
    line_.fds.push_back({fd, number});
    return number;
  }
  std::string Inherit(const std::vector<sys::UniqueFd>& fds) {
    std::vector<int> numbers;
    for (const sys::UniqueFd& fd : fds) numbers.push_back(Inherit(fd.get()));
    return fmt::format("{}", fmt::join(numbers, ":"));
  }
  // A chardev on a connected socket.
  void AddSocket(const std::string& id, int fd) {
    Add("-chardev", fmt::format("socket,id={},fd={}", id, Inherit(fd)));
  }
  CommandLine& line() { return line_; }

 private:
  CommandLine line_;
};

const char* OnOff(bool value) { return value ? "on" : "off"; }

// Room for code that QEMU has translated. What is used of it is memory of the host, beside the
// guest's; when it is full, all of it is thrown away and translated again. A dockerd that runs one
// container passes through several times the least. With half of that, a rehearsal's code would be
// gone before the container comes.
uint32_t TranslatedMib(uint32_t memory_mib) {
  constexpr uint32_t kLeastMib = 64;
  constexpr uint32_t kMostMib = 512;
  return std::clamp(memory_mib / 4, kLeastMib, kMostMib);
}

void AddMachine(const VmSpec& spec, Builder& out) {
  out.Add("-name", fmt::format("kata-{},debug-threads=on", spec.id));
  // Nothing of a PC that a Linux guest does not need. The interval timer and the old interrupt
  // controller stay: without them a guest hangs in calibration under TCG.
  // A state that is saved without memory has no description of itself behind it.
  out.Add("-machine",
          fmt::format("q35,memory-backend=ram0,hpet=off,i8042=off,sata=off,smbus=off,usb=off,"
                      "vmport=off,graphics=off,dump-guest-core=off{}",
                      spec.restored ? ",suppress-vmdesc=on" : ""));
  if (spec.accelerator == AcceleratorKind::kKvm) {
    out.Add("-accel", "kvm");
  } else {
    // Processors take turns on one thread: on threads of their own, QEMU 7.2 now and then goes on
    // to run code that the guest's kernel has patched meanwhile, and the guest panics.
    out.Add("-accel", fmt::format("tcg,{}tb-size={}", spec.cpus.max > 1 ? "thread=single," : "",
                                  TranslatedMib(spec.memory.boot_mib)));
  }
  std::string cpu = spec.accelerator == AcceleratorKind::kKvm ? "host" : "max";
  cpu += ",vmx=off,svm=off";
  if (!spec.cpus.extra_features.empty()) cpu += "," + spec.cpus.extra_features;
  out.Add("-cpu", cpu);
  out.Add("-smp", fmt::format("cpus={},maxcpus={},sockets={},cores=1,threads=1", spec.cpus.boot,
                              spec.cpus.max, spec.cpus.max));
}

std::string MemoryFile(int number) {
  return fmt::format("memory-backend-file,mem-path=/proc/self/fd/{}", number);
}

void AddMemory(const VmSpec& spec, Builder& out) {
  const Memory& memory = spec.memory;
  std::string size = fmt::format("{}M", memory.boot_mib);
  // QEMU refuses slots where there is nothing left to put into them.
  if (memory.hotplug_slots > 0 && memory.max_mib > memory.boot_mib) {
    size += fmt::format(",slots={},maxmem={}M", memory.hotplug_slots, memory.max_mib);
  }
  out.Add("-m", size);
  const bool memfd = memory.shared || memory.huge_pages;
  std::string backend = memfd ? "memory-backend-memfd" : "memory-backend-ram";
  if (memory.file) {
    out.line().memory_fd = out.Inherit(memory.file.get());
    backend = MemoryFile(*out.line().memory_fd);
  }
  out.Add("-object", fmt::format("{},id=ram0,size={}M,share={}{}{}", backend, memory.boot_mib,
                                 OnOff(memory.shared), memory.huge_pages ? ",hugetlb=on" : "",
                                 memory.preallocate ? ",prealloc=on" : ""));
}

// What a running VM had been given beyond what it booted with.
void AddGrown(const VmSpec& spec, Builder& out) {
  // With room for memory QEMU makes a node of it all, to which each processor belongs.
  const bool node = spec.memory.hotplug_slots > 0 && spec.memory.max_mib > spec.memory.boot_mib;
  const char* type = spec.accelerator == AcceleratorKind::kKvm ? "host" : "max";
  for (uint32_t i = spec.cpus.boot; i < spec.cpus.boot + spec.cpus.plugged; ++i) {
    out.Add("-device", fmt::format("{}-x86_64-cpu,id=vcpu-{},socket-id={},core-id=0,thread-id=0{}",
                                   type, i, i, node ? ",node-id=0" : ""));
  }
  for (const MemoryModule& module : spec.memory.modules) {
    const int number = out.Inherit(module.file.get());
    out.line().module_fds.push_back(number);
    const std::string name = fmt::format("ram{}", out.line().module_fds.size());
    out.Add("-object", fmt::format("{},id={},size={}M,share={}", MemoryFile(number), name,
                                   module.size_mib, OnOff(spec.memory.shared)));
    out.Add("-device", fmt::format("pc-dimm,id=dimm-{},memdev={},slot={},addr={}", name, name,
                                   module.slot, module.address));
  }
}

void AddChannels(const VmSpec& spec, const Channels& channels, Builder& out) {
  out.AddSocket("qmp0", channels.qmp);
  out.Add("-mon", "chardev=qmp0,mode=control");
  // Three ports at most: each one costs the guest two queues at boot.
  out.Add("-device", fmt::format("virtio-serial-pci,id=serial0,bus=pcie.0,addr={:x},max_ports=3,"
                                 "disable-legacy=on",
                                 kSerialSlot));
  out.AddSocket("console0", channels.console);
  out.Add("-device", "virtconsole,chardev=console0,id=hvc0");
  if (channels.agent >= 0) {
    out.AddSocket("agent0", channels.agent);
    out.Add("-device",
            fmt::format("virtserialport,chardev=agent0,id=agentport0,name={}", kAgentSerialPort));
  }
  if (const auto* vsock = std::get_if<VsockChannel>(&spec.agent)) {
    out.Add("-device", fmt::format("vhost-vsock-pci,id=vsock0,bus=pcie.0,addr={:x},guest-cid={},"
                                   "vhostfd={},disable-legacy=on",
                                   kVsockSlot, vsock->cid, out.Inherit(vsock->vhost_fd.get())));
  }
  if (channels.serial >= 0) {
    out.AddSocket("debug0", channels.serial);
    out.Add("-device", "isa-serial,chardev=debug0");
  }
}

void AddFixedDevices(const VmSpec& spec, Builder& out) {
  out.Add("-object", "rng-builtin,id=rng0");
  out.Add("-device",
          fmt::format("virtio-rng-pci,rng=rng0,bus=pcie.0,addr={:x},disable-legacy=on", kRngSlot));
  out.Add("-device", fmt::format("virtio-scsi-pci,id=scsi0,bus=pcie.0,addr={:x},num_queues=1,"
                                 "disable-legacy=on",
                                 kScsiSlot));
  if (spec.free_page_reporting) {
    out.Add("-device", fmt::format("virtio-balloon-pci,id=balloon0,bus=pcie.0,addr={:x},"
                                   "free-page-reporting=on,disable-legacy=on",
                                   kBalloonSlot));
  }
  out.Add("-device", fmt::format("pvpanic-pci,bus=pcie.0,addr={:x}", kPanicSlot));
  // Tells the guest that it is a copy, once it has been restored: its random numbers begin anew.
  out.Add("-device", "vmgenid,guid=auto,id=generation0");
  for (uint32_t port = 0; port < spec.hotplug_ports; ++port) {
    out.Add("-device", fmt::format("pcie-root-port,id=rp{},bus=pcie.0,addr={:x},chassis={},slot={},"
                                   "io-reserve=0",
                                   port, kFirstPortSlot + port, port + 1, port + 1));
  }
}

void AddDevice(const Device& device, Builder& out) {
  CommandLine& line = out.line();
  if (const auto* disk = std::get_if<Disk>(&device)) {
    const bool block = IsBlockDevice(disk->fd.get());
    const int number = out.Inherit(disk->fd.get());
    line.disk_fds[disk->id] = number;
    out.Add("-add-fd", fmt::format("fd={},set={}", number, number));
    out.Add("-blockdev", BlockNode(*disk, fmt::format("/dev/fdset/{}", number), block).dump());
  } else if (const auto* fs = std::get_if<VhostUserFs>(&device)) {
    out.AddSocket(BackendId(device), fs->fd.get());
  } else if (const auto* nic = std::get_if<Nic>(&device)) {
    const std::string fds = out.Inherit(nic->tap_fds);
    out.Add("-netdev", NetBackend(*nic, fds, out.Inherit(nic->vhost_fds)).dump());
  }
  if (const auto plugged = PlaceOf(device)) {
    out.Add("-device", FrontEnd(device, PortPlace(*plugged), *plugged).dump());
    return;
  }
  out.Add("-device", FrontEnd(device, ColdPlace(line.cold_pci_devices), line.luns).dump());
  ++(IsScsi(device) ? line.luns : line.cold_pci_devices);
}

void AddBoot(const VmSpec& spec, Builder& out) {
  if (spec.restored) {
    // The processors wait until they are told to go on; the state begins with the devices.
    out.Add("-S");
    out.Add("-incoming", "defer");
    out.Add("-global", "migration.send-configuration=off");
    return;
  }
  out.Add("-kernel", spec.kernel);
  if (!spec.initrd.empty()) out.Add("-initrd", spec.initrd);
  out.Add("-append", KernelCommandLine(spec));
}

Result<void> ValidateSizes(const VmSpec& spec) {
  const Memory& memory = spec.memory;
  if (memory.boot_mib < kMinMemoryMib || memory.boot_mib > kMaxMemoryMib) {
    return Fail(Code::kOutOfRange, fmt::format("guest memory of {} MiB: {} to {} are possible",
                                               memory.boot_mib, kMinMemoryMib, kMaxMemoryMib));
  }
  if (memory.hotplug_slots > kMaxSlots) {
    return Fail(Code::kOutOfRange, fmt::format("{} memory slots: up to {} are possible",
                                               memory.hotplug_slots, kMaxSlots));
  }
  if (memory.hotplug_slots > 0 &&
      (memory.max_mib < memory.boot_mib || memory.max_mib > kMaxMemoryMib)) {
    return Fail(Code::kOutOfRange,
                fmt::format("maximum guest memory of {} MiB: {} to {} are possible", memory.max_mib,
                            memory.boot_mib, kMaxMemoryMib));
  }
  if (spec.cpus.boot < 1 || spec.cpus.boot > spec.cpus.max || spec.cpus.max > kMaxCpus) {
    return Fail(Code::kOutOfRange, fmt::format("{} of at most {} vCPUs: 1 to {} are possible",
                                               spec.cpus.boot, spec.cpus.max, kMaxCpus));
  }
  if (spec.hotplug_ports > kMaxHotplugPorts) {
    return Fail(Code::kOutOfRange, fmt::format("{} hotplug ports: up to {} are possible",
                                               spec.hotplug_ports, kMaxHotplugPorts));
  }
  return {};
}

// The ports and LUNs of devices that have a place.
struct Places {
  std::set<uint32_t> ports;
  std::set<uint32_t> luns;
};

Result<void> ValidatePlace(const Device& device, const VmSpec& spec, Places* places) {
  const auto place = PlaceOf(device);
  if (!place) return {};
  const bool scsi = IsScsi(device);
  if (spec.restored && *place < (scsi ? kMaxLun + 1 : spec.hotplug_ports) &&
      (scsi ? places->luns : places->ports).insert(*place).second) {
    return {};
  }
  return Fail(Code::kInvalidArgument, fmt::format("device \"{}\" cannot have the {} {}",
                                                  DeviceId(device), scsi ? "LUN" : "port", *place));
}

Result<void> ValidateModules(const VmSpec& spec) {
  if (spec.memory.modules.empty() && spec.cpus.plugged == 0) return {};
  if (!spec.restored) {
    return Fail(Code::kInvalidArgument, "only a VM to restore has grown before it starts");
  }
  if (spec.cpus.plugged > spec.cpus.max - spec.cpus.boot) {
    return Fail(Code::kOutOfRange, fmt::format("{} and {} of at most {} vCPUs", spec.cpus.boot,
                                               spec.cpus.plugged, spec.cpus.max));
  }
  uint64_t total = spec.memory.boot_mib;
  std::set<uint32_t> slots;
  for (const MemoryModule& module : spec.memory.modules) {
    total += module.size_mib;
    if (module.size_mib > 0 && module.file && module.slot < spec.memory.hotplug_slots &&
        total <= spec.memory.max_mib && slots.insert(module.slot).second) {
      continue;
    }
    return Fail(Code::kInvalidArgument,
                fmt::format("memory of {} MiB cannot be in slot {}", module.size_mib, module.slot));
  }
  return {};
}

Result<void> ValidateDevices(const VmSpec& spec) {
  std::set<std::string> ids;
  uint32_t pci_devices = 0;
  uint32_t luns = 0;
  Places places;
  for (const Device& device : spec.devices) {
    KATA_TRY(ValidateDevice(device));
    if (!ids.insert(DeviceId(device)).second) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("two devices with the id \"{}\"", DeviceId(device)));
    }
    if (std::holds_alternative<VhostUserFs>(device) && !spec.memory.shared) {
      return Fail(Code::kInvalidArgument, "a virtiofs share needs shared guest memory");
    }
    KATA_TRY(ValidatePlace(device, spec, &places));
    if (PlaceOf(device)) continue;
    ++(IsScsi(device) ? luns : pci_devices);
  }
  if (pci_devices > kMaxColdPciDevices || luns > kMaxLun + 1) {
    return Fail(Code::kOutOfRange,
                fmt::format("{} PCI devices and {} SCSI disks: up to {} and {} are possible",
                            pci_devices, luns, kMaxColdPciDevices, kMaxLun + 1));
  }
  return {};
}

}  // namespace

Result<void> ValidateSpec(const VmSpec& spec) {
  if (spec.id.empty() || spec.id.size() > 128 ||
      spec.id.find_first_of(",/ \t\n") != std::string::npos) {
    return Fail(Code::kInvalidArgument,
                fmt::format("VM id \"{}\" is unusable", spec.id.substr(0, 128)));
  }
  KATA_TRY(ValidateSizes(spec));
  KATA_TRY(ValidateModules(spec));
  KATA_TRY(ValidateDevices(spec));
  if (spec.initrd.empty() == spec.image.empty()) {
    return Fail(Code::kInvalidArgument, "the guest needs either an initrd or an image");
  }
  if (std::holds_alternative<HybridVsockChannel>(spec.agent)) {
    return Fail(Code::kUnimplemented, "QEMU has no hybrid vsock");
  }
  if (const auto* vsock = std::get_if<VsockChannel>(&spec.agent);
      vsock != nullptr && (vsock->cid < 3 || !vsock->vhost_fd)) {
    return Fail(Code::kInvalidArgument, "vsock channel without CID or vhost descriptor");
  }
  if (spec.memory.file && (spec.memory.huge_pages || spec.memory.preallocate)) {
    return Fail(Code::kInvalidArgument, "memory in a file is neither huge nor allocated at once");
  }
  if (spec.restored && !spec.memory.file) {
    return Fail(Code::kInvalidArgument, "a VM to restore needs the file that holds its memory");
  }
  const size_t length = KernelCommandLine(spec).size();
  if (length > kMaxKernelCommandLine) {
    return Fail(Code::kOutOfRange, fmt::format("kernel command line of {} bytes: the limit is {}",
                                               length, kMaxKernelCommandLine));
  }
  return {};
}

std::string KernelCommandLine(const VmSpec& spec) {
  std::vector<std::string> params = {
      "console=hvc0",
      // A panic or reboot ends the VM at once: QEMU runs with -no-reboot, and without a keyboard
      // controller only the triple fault is left to reset by.
      "panic=-1",
      "reboot=t",
      // With one processor Linux would otherwise rewrite every lock prefix, slowly under TCG.
      "noreplace-smp",
      // No watchdog over the clock and no test of the timer: a busy host looks like broken
      // hardware.
      "tsc=reliable",
      "no_timer_check",
      "dummy.numdummies=0",
      // What a distribution's kernel does and ours does not: tests of its own ciphers, which take a
      // third of its boot, a watchdog that takes a busy host for a hanging guest, and security
      // modules that nobody in a guest has rules for.
      "cryptomgr.notests",
      "nowatchdog",
      "lsm=landlock,bpf",
  };
  // After this instruction QEMU 7.2 has flags in store that never were. An interrupt in that moment
  // saves them and comes back to them, and the guest's kernel dies of it. It can do without.
  if (spec.accelerator == AcceleratorKind::kTcg) params.emplace_back("clearcpuid=cx16");
  // What virtiofsd writes into the guest's memory is not seen by the translator, which would go on
  // running what it made of the page's code of before. A page that the guest clears first is seen.
  if (spec.accelerator == AcceleratorKind::kTcg && spec.memory.shared) {
    params.emplace_back("init_on_alloc=1");
  }
  if (spec.accelerator == AcceleratorKind::kTcg && spec.tsc_khz > 0) {
    params.push_back(fmt::format("tsc_early_khz={}", spec.tsc_khz));
  }
  params.emplace_back(spec.debug_console ? "earlyprintk=ttyS0" : "quiet");
  if (!spec.image.empty()) params.insert(params.end(), {"root=/dev/vda1", "ro"});
  params.insert(params.end(), spec.kernel_params.begin(), spec.kernel_params.end());
  return fmt::format("{}", fmt::join(params, " "));
}

CommandLine BuildCommandLine(const VmSpec& spec, const Channels& channels) {
  Builder out;
  out.Add(spec.vmm_path);
  AddMachine(spec, out);
  AddMemory(spec, out);
  out.Add("-nodefaults");
  out.Add("-no-user-config");
  out.Add("-display", "none");
  out.Add("-no-reboot");
  if (spec.seccomp) {
    out.Add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  }
  AddChannels(spec, channels, out);
  AddFixedDevices(spec, out);
  AddGrown(spec, out);
  for (const Device& device : spec.devices) AddDevice(device, out);
  AddBoot(spec, out);
  for (const std::string& argument : spec.vmm_extra_args) out.Add(argument);
  return std::move(out.line());
}

std::string StateKey(const VmSpec& spec) {
  Builder out;
  AddMachine(spec, out);
  AddMemory(spec, out);
  AddChannels(spec, {}, out);
  AddFixedDevices(spec, out);
  for (const Device& device : spec.devices) AddDevice(device, out);
  AddBoot(spec, out);
  for (const std::string& argument : spec.vmm_extra_args) out.Add(argument);
  return fmt::format("{}", fmt::join(out.line().argv, "\n"));
}

}  // namespace kata::hypervisor::qemu
