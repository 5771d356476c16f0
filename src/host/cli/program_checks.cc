// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/cli/checks.h"
#include "host/cli/host.h"
#include "host/config/guest_kernel.h"
#include "host/config/host_files.h"
#include "host/config/schema.h"
#include "host/factory/layer_build.h"
#include "host/hypervisor/accelerator.h"
#include "host/hypervisor/boot_files.h"
#include "host/hypervisor/registry.h"
#include "host/storage/virtiofsd_argv.h"

namespace kata::cli {
namespace {

constexpr auto kProbeTime = std::chrono::seconds(10);

Finding Problem(std::string name, const Error& error, std::string remedy = {}) {
  return {.name = std::move(name),
          .verdict = Verdict::kProblem,
          .detail = error.message(),
          .remedy = std::move(remedy)};
}

std::string Size(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return "?";
  return fmt::format("{:.1f} MiB", static_cast<double>(status.st_size) / (1 << 20));
}

std::string WhoChose(const config::Loaded& loaded) {
  const config::Source source = loaded.SourceOf(config::Table::kRuntime, "hypervisor_name");
  return source.built_in() ? "the default VMM" : "the VMM chosen in " + source.ToString();
}

Finding CheckVmm(const config::Loaded& loaded) {
  const auto found = hypervisor::FindVmm(loaded.config.runtime.hypervisor_name);
  if (!found) return Problem("vmm", found.error());
  const hypervisor::VmmTraits& traits = (*found)->traits;
  const std::string name(traits.name);
  if (const auto there = config::RequireVmm(loaded); !there) return Problem(name, there.error());
  const std::string& path = loaded.config.hypervisor.path;
  const auto version = hypervisor::ProbeVersion(**found, path, Deadline::After(kProbeTime));
  if (!version) {
    return Problem(name, version.error(),
                   fmt::format("reinstall {}, or correct its path", traits.title));
  }
  if (const auto works = hypervisor::CheckVersion(traits, *version); !works) {
    return Problem(name, works.error().Within(path),
                   fmt::format("install {} {}.{} or later", traits.title, traits.oldest.major,
                               traits.oldest.minor));
  }
  return {.name = name,
          .detail = fmt::format("{}, version {}.{}.{}, {}", path, version->major, version->minor,
                                version->micro, WhoChose(loaded))};
}

Finding CheckVirtiofsd(const config::Loaded& loaded) {
  if (!loaded.config.hypervisor.shares_files()) {
    return {.name = "virtiofsd", .detail = "not needed: shared_fs is \"none\""};
  }
  if (const auto there = config::RequireVirtiofsd(loaded); !there) {
    return Problem("virtiofsd", there.error());
  }
  const std::string& path = loaded.config.hypervisor.virtio_fs_daemon;
  const auto features = storage::AskVirtiofsd(path);
  if (!features) return Problem("virtiofsd", features.error(), "reinstall it, or correct its path");
  const config::HypervisorConfig& vm = loaded.config.hypervisor;
  const storage::VirtiofsdSpec spec{.program = path,
                                    .shared_directory = "/",
                                    .run_directory = "/",
                                    .cache = vm.virtio_fs_cache,
                                    .extra_args = vm.virtio_fs_extra_args};
  if (const auto arguments = storage::VirtiofsdArguments(spec, *features, 0); !arguments) {
    return Problem("virtiofsd", arguments.error());
  }
  return {
      .name = "virtiofsd",
      .detail = fmt::format("{}, version {}, {}", path, ProgramVersion(path).value_or("unknown"),
                            storage::WhatFollows(*features, vm.virtio_fs_cache))};
}

// Images of layers: the program that makes them and how many there are.
Finding CheckLayers(const config::Loaded& loaded) {
  if (!loaded.config.runtime.rootfs_layers) {
    return {.name = "layers", .detail = "not wanted: rootfs_layers is off, roots are shared"};
  }
  const auto kernel = config::DescribeKernel(loaded.config.hypervisor.kernel);
  if (kernel && kernel->Lacks(config::kLacksOverlayLinks) &&
      loaded.config.runtime.rootfs_upper != "disk") {
    return {
        .name = "layers",
        .verdict = Verdict::kNote,
        .detail = fmt::format("kernel {} loses files with several names: roots are shared",
                              kernel->release),
        .remedy = "use kata-cpp's own kernel (docs/guest-kernel.md), or rootfs_upper = \"disk\""};
  }
  const auto program = factory::FindMkfsErofs();
  if (!program) {
    return {.name = "layers",
            .verdict = Verdict::kNote,
            .detail = program.error().message(),
            .remedy = "install erofs-utils 1.5 or later; until then roots are shared"};
  }
  const config::FactoryConfig& config = loaded.config.factory;
  const auto list = factory::LayerStore(config.layers_path, config.layer_cache_size_mb).List();
  uint64_t bytes = 0;
  if (list) {
    for (const factory::LayerInfo& info : *list) bytes += info.image_bytes;
  }
  return {.name = "layers",
          .detail = fmt::format("{}, version {}, images: {} of {} MiB", program->path,
                                program->version, list ? list->size() : 0, bytes >> 20)};
}

Finding CheckBootFile(const std::string& name, const std::string& path, const Result<void>& there,
                      Result<void> (*check)(const std::string&)) {
  if (!there) return Problem(name, there.error());
  if (const auto whole = check(path); !whole) {
    return Problem(name, whole.error(), "install kata-cpp's guest files again (scripts/install)");
  }
  return {.name = name, .detail = fmt::format("{}, {}", path, Size(path))};
}

// What guests on this kernel go without; nothing where nothing is known of it.
std::optional<Finding> CheckKernelFeatures(const config::Loaded& loaded) {
  const auto kernel = config::DescribeKernel(loaded.config.hypervisor.kernel);
  if (!kernel) return std::nullopt;
  Finding finding{.name = "kernel features",
                  .detail = fmt::format("{} ({})", kernel->release, kernel->kind)};
  if (!kernel->lacks.empty())
    finding.detail += fmt::format(", lacks {}", fmt::join(kernel->lacks, " "));
  const auto choice = hypervisor::ChooseAccelerator(loaded.config.hypervisor.accelerator);
  if (kernel->Lacks(config::kLacksEmulatedCpuHotplug) && choice &&
      choice->kind == hypervisor::AcceleratorKind::kTcg) {
    finding.verdict = Verdict::kNote;
    finding.detail += ": a machine that runs gets no more processors";
    finding.remedy =
        "ask for them with the sandbox's first container, or use kata-cpp's own kernel "
        "(docs/guest-kernel.md)";
  }
  return finding;
}

}  // namespace

Finding CheckAccelerator(const config::Loaded& loaded) {
  // Probed anew: the answer kept for VMs may be older than the last change of the host.
  const auto choice = hypervisor::ChooseAccelerator(loaded.config.hypervisor.accelerator, "");
  if (!choice) {
    return Problem("accelerator", choice.error(),
                   fmt::format("set accelerator = \"auto\" in [{}] of configuration.toml",
                               loaded.TableOf(config::Table::kHypervisor)));
  }
  Finding finding{.name = "accelerator",
                  .detail = fmt::format("{}: {}", choice->name(), choice->reason)};
  if (choice->kind != hypervisor::AcceleratorKind::kKvm) finding.verdict = Verdict::kNote;
  return finding;
}

std::vector<Finding> CheckPrograms(const config::Loaded& loaded) {
  const config::HypervisorConfig& vm = loaded.config.hypervisor;
  const Result<void> guest_root = config::RequireInitrdOrImage(loaded);
  std::vector<Finding> findings = {
      CheckVmm(loaded),
      CheckVirtiofsd(loaded),
      CheckBootFile("kernel", vm.kernel, config::RequireKernel(loaded), hypervisor::CheckKernel),
      vm.image.empty() ? CheckBootFile("initrd", vm.initrd, guest_root, hypervisor::CheckInitrd)
                       : CheckBootFile("image", vm.image, guest_root, hypervisor::CheckImage),
  };
  if (auto features = CheckKernelFeatures(loaded)) findings.push_back(*std::move(features));
  findings.push_back(CheckLayers(loaded));
  return findings;
}

}  // namespace kata::cli
