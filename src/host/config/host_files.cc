// SPDX-License-Identifier: Apache-2.0
#include "host/config/host_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "host/config/guest_kernel.h"

namespace kata::config {
namespace {

namespace fs = std::filesystem;
using Directories = std::vector<std::string>;

constexpr const char* kVirtiofsd = "virtiofsd";
constexpr const char* kKernel = "vmlinux.container";
constexpr const char* kInitrd = "kata-containers-initrd.img";

bool IsFile(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

std::string Search(const Directories& directories, std::string_view name, bool program) {
  for (const std::string& directory : directories) {
    std::string path = fmt::format("{}/{}", directory, name);
    if (IsFile(path) && (!program || ::access(path.c_str(), X_OK) == 0)) return path;
  }
  return {};
}

void AddPath(Directories* directories) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    if (rest.starts_with('/')) directories->emplace_back(rest.substr(0, colon));
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
}

void AddAll(const std::string& root, std::initializer_list<const char*> more,
            Directories* directories) {
  for (const char* directory : more) directories->push_back(root + directory);
}

Directories GuestDirectories(const LoadOptions& options) {
  Directories directories;
  if (!options.program.empty()) {
    const fs::path bin = fs::path(options.program).parent_path();
    directories.push_back((bin / "../share/kata-containers").lexically_normal());
    // In a build tree the guest's files are shared by all presets.
    if (IsFile(bin / "../CMakeCache.txt")) {
      directories.push_back((bin / "../../guest").lexically_normal());
    }
  }
  AddAll(options.root,
         {"/usr/share/kata-containers", "/usr/local/share/kata-containers",
          "/opt/kata/share/kata-containers"},
         &directories);
  return directories;
}

void Fill(std::string_view name, const std::string& found, std::string* value, Loaded* loaded) {
  if (!value->empty() || found.empty()) return;
  *value = found;
  loaded->sources[FindKey(Table::kHypervisor, name)] = {std::string(kFound), 0};
}

Result<void> Require(const Loaded& loaded, std::string_view name, std::string_view missing,
                     std::string_view remedy, bool program) {
  const Key& key = *FindKey(Table::kHypervisor, name);
  const std::string path = std::get<std::string>(Get(key, loaded.config));
  if (path.empty()) {
    return Fail(Code::kNotFound,
                fmt::format("{}; {}, or set {} in [{}] of configuration.toml", missing, remedy,
                            name, loaded.TableOf(Table::kHypervisor)));
  }
  const std::string who = loaded.SourceOf(key).ToString();
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    return std::unexpected(Error::FromErrno(fmt::format("{} \"{}\" ({})", name, path, who)));
  }
  if (!S_ISREG(status.st_mode)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{} \"{}\" ({}) is not a file", name, path, who));
  }
  if (program && ::access(path.c_str(), X_OK) != 0) {
    return Fail(Code::kPermissionDenied,
                fmt::format("{} \"{}\" ({}) is not executable", name, path, who));
  }
  return {};
}

}  // namespace

void LocateFiles(const LoadOptions& options, Loaded* loaded) {
  HypervisorConfig& vm = loaded->config.hypervisor;

  Directories programs;
  AddPath(&programs);
  AddAll(options.root, {"/usr/bin", "/usr/local/bin", "/usr/libexec", "/opt/kata/bin"}, &programs);
  Fill("path", Search(programs, loaded->vmm->program, true), &vm.path, loaded);

  Directories daemons;
  AddAll(options.root,
         {"/usr/libexec", "/usr/lib/qemu", "/usr/local/libexec", "/usr/lib", "/opt/kata/libexec"},
         &daemons);
  AddPath(&daemons);
  Fill("virtio_fs_daemon", Search(daemons, kVirtiofsd, true), &vm.virtio_fs_daemon, loaded);

  Directories guest = GuestDirectories(options);
  // Kernel and initrd of one making, or neither.
  if (!options.program.empty() && vm.kernel.empty() && vm.initrd.empty() && vm.image.empty()) {
    ChosenGuest chosen = FindChosenGuest(options.root, guest.front());
    if (!chosen.directory.empty()) guest.insert(guest.begin(), std::move(chosen.directory));
    if (!chosen.warning.empty()) loaded->warnings.push_back(std::move(chosen.warning));
  }
  Fill("kernel", Search(guest, kKernel, false), &vm.kernel, loaded);
  if (vm.image.empty()) Fill("initrd", Search(guest, kInitrd, false), &vm.initrd, loaded);
}

Result<void> RequireVmm(const Loaded& loaded) {
  return Require(
      loaded, "path",
      fmt::format("no {}: {} is not on this host", loaded.vmm->title, loaded.vmm->program),
      loaded.vmm->install, true);
}

Result<void> RequireVirtiofsd(const Loaded& loaded) {
  return Require(loaded, "virtio_fs_daemon", "no virtiofsd on this host",
                 "install it (Debian 12: apt-get install qemu-system-common; later: virtiofsd)",
                 true);
}

Result<void> RequireKernel(const Loaded& loaded) {
  return Require(loaded, "kernel", fmt::format("no guest kernel: {} was not found", kKernel),
                 "install kata-cpp's guest files (scripts/install)", false);
}

Result<void> RequireInitrdOrImage(const Loaded& loaded) {
  const std::string_view name = loaded.config.hypervisor.image.empty() ? "initrd" : "image";
  return Require(loaded, name, fmt::format("no guest initrd: {} was not found", kInitrd),
                 "install kata-cpp's guest files (scripts/install)", false);
}

Result<void> RequireFiles(const Loaded& loaded) {
  KATA_TRY(RequireVmm(loaded));
  if (loaded.config.hypervisor.shares_files()) KATA_TRY(RequireVirtiofsd(loaded));
  KATA_TRY(RequireKernel(loaded));
  return RequireInitrdOrImage(loaded);
}

}  // namespace kata::config
