// SPDX-License-Identifier: Apache-2.0
//
// config/load.h - finding and reading configuration.toml.
//
// The first of these that exists is read, then the files of `config.d/*.toml` beside it in
// alphabetical order, whose values replace earlier ones:
//   1. the path in the runtime options (or `kata-runtime --config`)
//   2. the environment variable KATA_CONF_FILE
//   3. /etc/kata-containers/configuration.toml
//   4. /usr/share/defaults/kata-containers/configuration.toml
//   5. /usr/local/share/defaults/kata-containers/configuration.toml
//   6. ../share/defaults/kata-containers/configuration.toml as seen from the program's directory
// The first two must exist when they are set. Without any file the built-in defaults hold.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/config/config.h"
#include "host/config/schema.h"
#include "host/config/toml_file.h"
#include "host/config/value.h"
#include "host/hypervisor/vmm_traits.h"

namespace kata::config {

struct HostFacts {
  int64_t cpus = 1;
  int64_t memory_mib = 0;

  static HostFacts Read();
};

struct LoadOptions {
  std::string config_path;  // empty: not given
  std::string conf_file;    // the value of KATA_CONF_FILE; empty: not set
  std::string program;      // absolute path of the running program
  HostFacts host;
  // That a file can choose from; they outlive what is loaded.
  std::span<const hypervisor::VmmTraits> vmms = hypervisor::kVmms;
  std::string root;  // in front of the absolute paths 3 to 5, for tests

  // From the environment and the running program.
  static LoadOptions OfThisProcess(std::string config_path = {});
};

struct Loaded {
  Config config;
  std::vector<std::string> files;        // in the order of reading; none: built-in defaults
  std::vector<std::string> warnings;     // for the caller to log, each naming file and line
  std::map<const Key*, Source> sources;  // of keys that something set; canonical keys only
  std::map<std::string, std::string> annotations;  // those that set something
  std::string program;
  HostFacts host;
  // Whose table `config.hypervisor` is from; config.runtime.hypervisor_name is its name, with the
  // setting that chose it as source.
  const hypervisor::VmmTraits* vmm = &hypervisor::kDefaultVmm;

  // The name of a table in the files, that of the VMM for kHypervisor.
  std::string_view TableOf(Table table) const { return TableName(table, *vmm); }
  // Built in when nothing set the key.
  Source SourceOf(const Key& key) const;
  Source SourceOf(Table table, std::string_view name) const;
};

// The VMM is the one that hypervisor_name says, else the one whose table a file has (choose_vmm.h).
// Tables of others that could be chosen are left aside.
//
// Errors  kNotFound         a file that was asked for by name does not exist
//         kInvalidArgument  not TOML, a value of the wrong type or out of range, or values that
//                           contradict each other; the message begins with file and line. No VMM
//                           of that name, or several to choose from; it names those that there are
Result<Loaded> Load(const LoadOptions& options);

// Checks what single keys cannot know (vCPUs against their maximum, memory against the host, image
// against initrd) and replaces the values that mean "as the host has" by numbers.
Result<void> Settle(Loaded* loaded);

// "<file>:<line>: [agent.kata] dial_timeout = 0: <problem>"
std::string Describe(const Source& source, std::string_view table, const Key& key,
                     const Value& value, std::string_view problem);

// Puts the settings of one file, or of one text, into `loaded`, with warnings about unknown keys
// and one about all known keys that have no effect.
Result<void> ApplySettings(const std::vector<Setting>& settings, Loaded* loaded);

}  // namespace kata::config
