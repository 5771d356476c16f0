// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/facts.h"

#include <unistd.h>

#include <chrono>

#include <nlohmann/json.hpp>

#include "host/cli/host.h"
#include "host/factory/template_store.h"
#include "host/hypervisor/accelerator.h"
#include "host/storage/virtiofsd_features.h"
#include "host/warm/protocol.h"
#include "sys/files.h"

namespace kata::cli::doctor {
namespace {

constexpr auto kServicePatience = std::chrono::seconds(5);

void ReadWarm(const std::string& endpoint, Facts* facts) {
  const auto answer = warm::Ask(endpoint, "status", Deadline::After(kServicePatience));
  if (!answer) return;
  const auto status = nlohmann::json::parse(*answer, nullptr, false);
  if (!status.is_object()) return;
  const auto number = [&](const char* name) {
    const auto found = status.find(name);
    return found != status.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  facts->warm_service = true;
  facts->warm_ready = number("ready");
  facts->warm_wanted = number("wanted");
}

}  // namespace

bool ShowsHypervisor(const std::string& cpuinfo) {
  for (size_t begin = 0; begin < cpuinfo.size();) {
    const size_t end = std::min(cpuinfo.find('\n', begin), cpuinfo.size());
    const std::string line = cpuinfo.substr(begin, end - begin) + " ";
    begin = end + 1;
    if (line.starts_with("flags")) return line.find(" hypervisor ") != std::string::npos;
  }
  return false;
}

Facts ReadFacts(const config::Loaded& loaded) {
  const config::HypervisorConfig& vm = loaded.config.hypervisor;
  const config::FactoryConfig& factory = loaded.config.factory;
  Facts facts{.is_root = ::geteuid() == 0};
  if (const auto choice = hypervisor::ChooseAccelerator(vm.accelerator)) {
    facts.accelerator = choice->name();
    facts.accelerator_reason = choice->reason;
  }
  facts.kvm_device = sys::Exists("/dev/kvm");
  facts.cpu_virtualization = !ReadCpu("").virtualization.empty();
  facts.is_virtual_machine = ShowsHypervisor(sys::ReadFile("/proc/cpuinfo").value_or(""));
  facts.memory_available_mib = ReadMemory("").available_mib;
  facts.machine_memory_mib = vm.default_memory_mib;
  facts.shares_files = vm.shares_files();
  if (facts.shares_files) {
    facts.virtiofsd_version = ProgramVersion(vm.virtio_fs_daemon).value_or("");
    const auto features = storage::AskVirtiofsd(vm.virtio_fs_daemon);
    facts.virtiofsd_in_c = features && features->kind == storage::VirtiofsdFeatures::Kind::kC;
  }
  facts.enable_template = factory.enable_template;
  facts.template_path = factory.template_path;
  const factory::TemplateStore store(factory.template_path);
  if (const auto list = store.List()) facts.templates = list->size();
  facts.template_failures = store.Failures();
  ReadWarm(factory.vm_cache_endpoint, &facts);
  return facts;
}

}  // namespace kata::cli::doctor
