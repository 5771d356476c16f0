// SPDX-License-Identifier: Apache-2.0
#include "host/config/load.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "host/config/choose_vmm.h"
#include "host/config/host_files.h"

namespace kata::config {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxDropIns = 256;

// The file to read; empty when there is none.
Result<std::string> FindFile(const LoadOptions& options) {
  if (!options.config_path.empty()) return options.config_path;
  if (!options.conf_file.empty()) return options.conf_file;
  std::vector<std::string> candidates;
  for (const char* directory : {"/etc/kata-containers", "/usr/share/defaults/kata-containers",
                                "/usr/local/share/defaults/kata-containers"}) {
    candidates.push_back(options.root + directory + "/configuration.toml");
  }
  if (!options.program.empty()) {
    candidates.push_back((fs::path(options.program).parent_path() /
                          "../share/defaults/kata-containers/configuration.toml")
                             .lexically_normal());
  }
  for (const std::string& candidate : candidates) {
    std::error_code error;
    if (fs::exists(candidate, error)) return candidate;
    // Something is there that cannot be looked at; going on would silently use other values.
    if (error && error != std::errc::no_such_file_or_directory &&
        error != std::errc::not_a_directory) {
      return std::unexpected(Error::FromErrno("stat", candidate, error.value()));
    }
  }
  return std::string();
}

Result<std::vector<std::string>> DropIns(const std::string& file) {
  const fs::path directory = fs::path(file).parent_path() / "config.d";
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".toml") files.push_back(it->path());
    if (files.size() > kMaxDropIns) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("{}: more than {} files", directory.string(), kMaxDropIns));
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return std::unexpected(Error::FromErrno("read directory", directory.string(), error.value()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Who asked for the file, for errors about it.
std::string Context(const LoadOptions& options) {
  if (!options.config_path.empty()) return "configuration file of the runtime options";
  if (!options.conf_file.empty()) return "configuration file of KATA_CONF_FILE";
  return "configuration file";
}

using Files = std::vector<std::vector<Setting>>;

// The settings of each file that counts, in the order of reading.
Result<Files> ReadFiles(const LoadOptions& options, Loaded* loaded) {
  Files files;
  const std::string first = KATA_TRY(FindFile(options));
  if (first.empty()) return files;
  auto settings = ReadTomlFile(first);
  if (!settings) {
    // The parser's errors name the file themselves.
    if (settings.error().error_number() == 0) return std::unexpected(settings.error());
    return std::unexpected(std::move(settings).error().Within(Context(options)));
  }
  files.push_back(*std::move(settings));
  loaded->files.push_back(first);
  for (const std::string& drop_in : KATA_TRY(DropIns(first))) {
    files.push_back(KATA_TRY(ReadTomlFile(drop_in)));
    loaded->files.push_back(drop_in);
  }
  return files;
}

// Takes the settings of VMMs that were not chosen out.
void LeaveOut(std::span<const hypervisor::VmmTraits> vmms, const hypervisor::VmmTraits& chosen,
              Files* files) {
  const auto of_another = [&](const Setting& setting) {
    return std::ranges::any_of(vmms, [&](const hypervisor::VmmTraits& vmm) {
      return vmm.name != chosen.name && IsTableOf(vmm, setting.table);
    });
  };
  for (std::vector<Setting>& settings : *files) std::erase_if(settings, of_another);
}

}  // namespace

HostFacts HostFacts::Read() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGE_SIZE);
  const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  return {std::max(cpus, 1L), (pages > 0 ? pages : 0) * (page_bytes >> 10) >> 10};
}

LoadOptions LoadOptions::OfThisProcess(std::string config_path) {
  LoadOptions options;
  options.config_path = std::move(config_path);
  if (const char* file = std::getenv("KATA_CONF_FILE")) options.conf_file = file;
  std::error_code error;
  options.program = fs::read_symlink("/proc/self/exe", error);
  options.host = HostFacts::Read();
  return options;
}

Source Loaded::SourceOf(const Key& key) const {
  const auto it = sources.find(&Canonical(key));
  return it == sources.end() ? Source{} : it->second;
}

Source Loaded::SourceOf(Table table, std::string_view name) const {
  const Key* key = FindKey(table, name);
  return key == nullptr ? Source{} : SourceOf(*key);
}

Result<Loaded> Load(const LoadOptions& options) {
  Loaded loaded;
  loaded.program = options.program;
  loaded.host = options.host;
  Files files = KATA_TRY(ReadFiles(options, &loaded));
  const VmmChoice choice = KATA_TRY(ChooseVmm(files, options.vmms));
  loaded.vmm = choice.vmm;
  LeaveOut(options.vmms, *choice.vmm, &files);
  for (const auto& settings : files) KATA_TRY(ApplySettings(settings, &loaded));
  loaded.config.runtime.hypervisor_name = choice.vmm->name;
  if (!choice.source.built_in()) {
    loaded.sources[FindKey(Table::kRuntime, "hypervisor_name")] = choice.source;
  }
  KATA_TRY(Settle(&loaded));
  LocateFiles(options, &loaded);
  return loaded;
}

}  // namespace kata::config
