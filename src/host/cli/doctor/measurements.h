// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/measurements.h - what `kata-runtime doctor` has found out, before anybody judges it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kata::cli::doctor {

// One thing after the other that was tried.
struct Phase {
  std::string name;  // "template", "network", "machine", "container", "start", "exec", ...
  double millis = 0;
  std::string error;  // empty: it worked

  friend bool operator==(const Phase&, const Phase&) = default;
};

// What the container measured. Absent where it did not come to that.
struct Figures {
  std::optional<double> host_rounds;   // a second, of the same loop
  std::optional<double> guest_rounds;  // a second
  std::optional<double> packets_sent;
  std::optional<double> packets_received;
  std::optional<double> round_trip_us;
  std::optional<double> write_mib_per_second;
  std::optional<double> read_mib_per_second;
};

struct Trial {
  std::vector<Phase> phases;
  Figures figures;
  std::string began_from;  // "boot", "template", "warm"; empty: no machine ran
  bool made_template = false;
  std::string log_tail;  // of the shim, where something failed
  bool cancelled = false;
  // What could not be removed, and how a person removes it.
  std::vector<std::string> left;

  const Phase* Failed() const {
    for (const Phase& phase : phases) {
      if (!phase.error.empty()) return &phase;
    }
    return nullptr;
  }
  const Phase* Find(const std::string& name) const {
    for (const Phase& phase : phases) {
      if (phase.name == name) return &phase;
    }
    return nullptr;
  }
};

// A program that starts containers, and whether its configuration names this runtime.
struct FrontEnd {
  std::string name;  // as `kata-runtime setup` calls it
  std::string path;
  bool configured = false;
  std::string file;  // where it is configured, or would be
};

struct Facts {
  bool is_root = true;
  std::string accelerator;  // "kvm", "tcg"; empty: none could be chosen
  std::string accelerator_reason;
  bool kvm_device = false;
  bool cpu_virtualization = false;  // the processor shows vmx or svm
  bool is_virtual_machine = false;  // this host is one itself
  int64_t memory_available_mib = 0;
  int64_t machine_memory_mib = 0;
  bool shares_files = true;
  std::string virtiofsd_version;
  bool virtiofsd_in_c = false;
  bool enable_template = true;
  size_t templates = 0;
  std::string template_path;
  std::vector<std::string> template_failures;
  bool warm_service = false;
  int64_t warm_ready = 0;
  int64_t warm_wanted = 0;
  std::vector<FrontEnd> front_ends;
};

}  // namespace kata::cli::doctor
