// SPDX-License-Identifier: Apache-2.0
//
// Checks across keys.
#include <regex.h>

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "egress/policy.h"
#include "host/config/byte_size.h"
#include "host/config/load.h"

namespace kata::config {
namespace {

constexpr uint64_t kSmallestDisk = 64 << 20;
constexpr uint64_t kLargestDisk = uint64_t{16} << 40;

std::unexpected<Error> Refuse(const Loaded& loaded, Table table, std::string_view name,
                              std::string_view problem) {
  const Key& key = *FindKey(table, name);
  return Fail(Code::kInvalidArgument, Describe(loaded.SourceOf(key), loaded.TableOf(table), key,
                                               Get(key, loaded.config), problem));
}

std::string Pointer(const Loaded& loaded, std::string_view name) {
  return loaded.SourceOf(Table::kHypervisor, name).ToString();
}

Result<void> SettleVcpus(Loaded* loaded) {
  HypervisorConfig& vm = loaded->config.hypervisor;
  const int64_t host = loaded->host.cpus;
  // Derived anew each time: annotations come after the file was settled.
  if (loaded->SourceOf(Table::kHypervisor, "default_maxvcpus").built_in()) vm.default_maxvcpus = 0;
  if (vm.default_maxvcpus > 0 && vm.default_vcpus > vm.default_maxvcpus) {
    return Refuse(*loaded, Table::kHypervisor, "default_vcpus",
                  fmt::format("more than default_maxvcpus = {} ({})", vm.default_maxvcpus,
                              Pointer(*loaded, "default_maxvcpus")));
  }
  if (vm.default_vcpus == 0) vm.default_vcpus = 1;
  if (vm.default_vcpus < 0) vm.default_vcpus = host;
  if (vm.default_maxvcpus == 0 || vm.default_maxvcpus > host) vm.default_maxvcpus = host;
  vm.default_maxvcpus = std::max(vm.default_maxvcpus, vm.default_vcpus);
  return {};
}

Result<void> SettleMemory(Loaded* loaded) {
  HypervisorConfig& vm = loaded->config.hypervisor;
  const int64_t host = loaded->host.memory_mib;
  if (loaded->SourceOf(Table::kHypervisor, "default_maxmemory").built_in()) {
    vm.default_maxmemory_mib = 0;
  }
  if (host > 0 && vm.default_memory_mib > host) {
    const bool asked_for = !loaded->SourceOf(Table::kHypervisor, "default_memory").built_in();
    if (asked_for) {
      return Refuse(*loaded, Table::kHypervisor, "default_memory",
                    fmt::format("more than this host's {} MiB", host));
    }
    // A host smaller than the built-in default is no mistake of anybody.
    vm.default_memory_mib = std::max<int64_t>(host / 2, 64);
  }
  if (vm.default_maxmemory_mib > 0 && vm.default_memory_mib > vm.default_maxmemory_mib) {
    return Refuse(*loaded, Table::kHypervisor, "default_memory",
                  fmt::format("more than default_maxmemory = {} ({})", vm.default_maxmemory_mib,
                              Pointer(*loaded, "default_maxmemory")));
  }
  if (vm.default_maxmemory_mib == 0 || (host > 0 && vm.default_maxmemory_mib > host)) {
    vm.default_maxmemory_mib = host;
  }
  vm.default_maxmemory_mib = std::max(vm.default_maxmemory_mib, vm.default_memory_mib);
  return {};
}

Result<void> CheckPatterns(const Loaded& loaded) {
  for (const std::string& pattern : loaded.config.hypervisor.enable_annotations) {
    regex_t compiled;
    const int error = ::regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB);
    if (error == 0) {
      ::regfree(&compiled);
      continue;
    }
    char reason[128];
    ::regerror(error, &compiled, reason, sizeof reason);
    return Refuse(loaded, Table::kHypervisor, "enable_annotations",
                  fmt::format("\"{}\" is not a regular expression: {}", pattern, reason));
  }
  return {};
}

Result<void> CheckDiskSize(const Loaded& loaded, std::string_view name, const std::string& size) {
  const auto bytes = ParseByteSize(size);
  if (bytes && *bytes >= kSmallestDisk && *bytes <= kLargestDisk) return {};
  return Refuse(loaded, Table::kRuntime, name,
                bytes ? "expected 64M to 16T" : bytes.error().message());
}

Result<void> CheckEgress(const Loaded& loaded, std::string_view name, const StringList& rules) {
  const auto parsed = egress::ParseRules({}, rules);
  if (parsed) return {};
  return Refuse(loaded, Table::kRuntime, name, parsed.error().message());
}

}  // namespace

Result<void> Settle(Loaded* loaded) {
  HypervisorConfig& vm = loaded->config.hypervisor;
  const bool initrd_was_set =
      loaded->SourceOf(Table::kHypervisor, "initrd").origin != kFound && !vm.initrd.empty();
  if (!vm.image.empty() && !initrd_was_set) vm.initrd.clear();
  if (!vm.image.empty() && !vm.initrd.empty()) {
    return Refuse(
        *loaded, Table::kHypervisor, "image",
        fmt::format("initrd is set too ({}); set one of them", Pointer(*loaded, "initrd")));
  }
  const int64_t queue = vm.virtio_fs_queue_size;
  if ((queue & (queue - 1)) != 0) {
    return Refuse(*loaded, Table::kHypervisor, "virtio_fs_queue_size", "not a power of two");
  }
  const RuntimeConfig& runtime = loaded->config.runtime;
  KATA_TRY(CheckDiskSize(*loaded, "rootfs_upper_size", runtime.rootfs_upper_size));
  KATA_TRY(CheckDiskSize(*loaded, "data_disk_size", runtime.data_disk_size));
  KATA_TRY(CheckEgress(*loaded, "egress_allow", runtime.egress_allow));
  KATA_TRY(CheckEgress(*loaded, "egress_deny", runtime.egress_deny));
  KATA_TRY(SettleVcpus(loaded));
  KATA_TRY(SettleMemory(loaded));
  return CheckPatterns(*loaded);
}

}  // namespace kata::config
