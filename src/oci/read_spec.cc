// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "oci/readers.h"

namespace kata::oci {
namespace {

void ReadMount(const Node& node, Mount* mount) {
  node.Set("destination", mount->mutable_destination());
  // What engines let through (buildah's VOLUME) is, as to runc, below the root.
  if (!mount->destination().empty() && !mount->destination().starts_with('/')) {
    mount->mutable_destination()->insert(0, "/");
  }
  node.Set("source", mount->mutable_source());
  node.Set("type", mount->mutable_type());
  node.Set("options", mount->mutable_options());
  node.Each("uidMappings", [&](const Node& n) { ReadIdMapping(n, mount->add_uid_mappings()); });
  node.Each("gidMappings", [&](const Node& n) { ReadIdMapping(n, mount->add_gid_mappings()); });
}

void ReadHook(const Node& node, Hook* hook) {
  node.Set("path", hook->mutable_path());
  node.Set("args", hook->mutable_args());
  node.Set("env", hook->mutable_env());
  node.Set("timeout", hook, &Hook::set_timeout);
}

void ReadHooks(const Node& node, Hooks* hooks) {
  const auto list = [&node](const char* key, auto* out) {
    node.Each(key, [out](const Node& hook) { ReadHook(hook, out->Add()); });
  };
  list("prestart", hooks->mutable_prestart());
  list("createRuntime", hooks->mutable_create_runtime());
  list("createContainer", hooks->mutable_create_container());
  list("startContainer", hooks->mutable_start_container());
  list("poststart", hooks->mutable_poststart());
  list("poststop", hooks->mutable_poststop());
}

// The machine's size counts as the annotations that ask for one, where these are not given: a host
// that lets pods choose it (enable_annotations) lets specifications.
void ReadVm(const Node& node, Spec* spec) {
  const auto ask = [spec](const char* key, uint64_t value) {
    const std::string name = fmt::format("io.katacontainers.config.hypervisor.{}", key);
    spec->mutable_annotations()->insert({name, fmt::to_string(value)});
  };
  for (const char* key : {"hypervisor", "kernel", "image"}) {
    node.NoteUnsupported(key, "configuration.toml says what a virtual machine is made of");
  }
  node.Object("hwConfig", [&](const Node& n) {
    HardwareConfig hardware;
    n.Set("vcpus", &hardware, &HardwareConfig::set_vcpus);
    n.Set("memory", &hardware, &HardwareConfig::set_memory);
    constexpr uint64_t kMib = 1 << 20;
    if (hardware.vcpus() > 0) ask("default_vcpus", hardware.vcpus());
    if (hardware.memory() > 0) ask("default_memory", (hardware.memory() - 1) / kMib + 1);
    for (const char* key : {"deviceTree", "dtdevs", "iomems", "irqs"}) {
      n.NoteUnsupported(key, "virtual machines have no hardware of the host's");
    }
  });
}

}  // namespace

void ReadSpec(const Node& node, Spec* spec) {
  node.Set("ociVersion", spec->mutable_version());
  node.Object("process", [&](const Node& n) { ReadProcess(n, spec->mutable_process()); });
  node.Object("root", [&](const Node& n) {
    n.Set("path", spec->mutable_root()->mutable_path());
    n.Set("readonly", spec->mutable_root(), &Root::set_readonly);
  });
  node.Set("hostname", spec->mutable_hostname());
  node.Set("domainname", spec->mutable_domainname());
  node.Each("mounts", [&](const Node& n) { ReadMount(n, spec->add_mounts()); });
  node.Object("hooks", [&](const Node& n) { ReadHooks(n, spec->mutable_hooks()); });
  node.Set("annotations", spec->mutable_annotations());
  node.Object("linux", [&](const Node& n) { ReadLinux(n, spec->mutable_linux()); });
  for (const char* key : {"solaris", "windows", "freebsd", "zos"}) {
    node.NoteUnsupported(key, "the guest runs Linux");
  }
  node.Object("vm", [&](const Node& n) { ReadVm(n, spec); });
}

}  // namespace kata::oci
