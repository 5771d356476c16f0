// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/judge.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "host/cli/host.h"

namespace kata::cli::doctor {
namespace {

// Above these a phase is slower than it should be: with KVM, and emulated.
struct SlowAbove {
  std::string_view phase;
  double kvm_ms;
  double tcg_ms;
  std::string_view remedy;
};

constexpr std::string_view kBusy =
    "look for other work on this machine (top), and at its pressure (/proc/pressure/cpu)";

constexpr std::array kSlowAbove = {
    SlowAbove{"container", 500, 3000, kBusy},
    SlowAbove{"start", 500, 3000, kBusy},
    SlowAbove{"exec", 300, 2000, kBusy},
    SlowAbove{"end", 2000, 6000, kBusy},
};
// Of "machine", by what it began from.
constexpr std::array kSlowMachine = {
    SlowAbove{"warm", 300, 2000, kBusy},
    SlowAbove{"template", 1000, 4000, kBusy},
    SlowAbove{"boot", 3000, 20000, kBusy},
};

constexpr double kSlowRoundTripKvmUs = 1000;
constexpr double kSlowRoundTripTcgUs = 10000;
constexpr double kSlowFilesMib = 20;
// The C program was part of QEMU and has its version; the one in Rust counts from 1.

bool IsEmulated(const Facts& facts) { return facts.accelerator != "kvm"; }

std::string MachineFrom(const std::string& began_from) {
  if (began_from == "warm") return "a warm machine";
  if (began_from == "template") return "a copy of the template";
  return "booted";
}

Finding JudgeFailure(const Phase& failed) {
  return {.name = failed.name,
          .verdict = Verdict::kProblem,
          .detail = failed.error,
          .remedy = RemedyOf(failed.error)};
}

void AddSlow(std::vector<Finding>& findings, const Facts& facts, const Phase& phase,
             const SlowAbove& bound, std::string detail) {
  const double limit = IsEmulated(facts) ? bound.tcg_ms : bound.kvm_ms;
  Finding finding{.name = phase.name, .detail = std::move(detail)};
  if (phase.millis > limit) {
    finding.verdict = Verdict::kNote;
    finding.detail += fmt::format("; it should take less than {}", Duration(limit));
    finding.remedy = bound.remedy;
  }
  findings.push_back(std::move(finding));
}

void JudgeTimes(std::vector<Finding>& findings, const Facts& facts, const Trial& trial) {
  if (const Phase* machine = trial.Find("machine"); machine != nullptr && machine->error.empty()) {
    const auto bound = std::find_if(kSlowMachine.begin(), kSlowMachine.end(),
                                    [&](const auto& b) { return b.phase == trial.began_from; });
    AddSlow(
        findings, facts, *machine, bound == kSlowMachine.end() ? kSlowMachine.back() : *bound,
        fmt::format("ready in {}, {}", Duration(machine->millis), MachineFrom(trial.began_from)));
  }
  for (const SlowAbove& bound : kSlowAbove) {
    const Phase* phase = trial.Find(std::string(bound.phase));
    if (phase == nullptr || !phase->error.empty()) continue;
    AddSlow(findings, facts, *phase, bound, Duration(phase->millis));
  }
}

// Why there is no KVM decides what could be done about it.
std::string KvmRemedy(const Facts& facts) {
  if (facts.cpu_virtualization && !facts.kvm_device) {
    return "modprobe kvm_intel, or kvm_amd; where that is refused, switch virtualization on in the "
           "firmware";
  }
  if (facts.cpu_virtualization) {
    return "see why KVM does not serve (dmesg | grep -i kvm), then remove "
           "/run/kata-containers/accelerator.json so that it is tried again";
  }
  if (facts.is_virtual_machine) {
    return "this host is a virtual machine without nested virtualization: have its provider switch "
           "that on, take a machine of bare metal, or load a kernel with PVM, which needs no help "
           "of "
           "the processor; its /dev/kvm is used once it runs guest code at speed";
  }
  return "switch virtualization (VT-x, AMD-V) on in the firmware";
}

void JudgeProcessor(std::vector<Finding>& findings, const Facts& facts, const Trial& trial) {
  if (!trial.figures.host_rounds || !trial.figures.guest_rounds) return;
  const double host = *trial.figures.host_rounds;
  const double guest = *trial.figures.guest_rounds;
  if (host <= 0 || guest <= 0) return;
  const double factor = host / guest;
  Finding finding{.name = "processor"};
  if (IsEmulated(facts)) {
    finding.verdict = Verdict::kNote;
    finding.detail = fmt::format(
        "guest code runs at 1/{:.1f} of this host's speed, measured: it is emulated ({}). With KVM "
        "it would run at nearly the host's speed, about {:.0f} times faster",
        factor, facts.accelerator_reason, factor);
    finding.remedy = KvmRemedy(facts);
  } else {
    finding.detail =
        fmt::format("guest code runs at {:.0f}% of this host's speed, measured", 100 / factor);
    if (factor > 1.5) {
      finding.verdict = Verdict::kNote;
      finding.remedy = kBusy;
    }
  }
  findings.push_back(std::move(finding));
}

void JudgeNetwork(std::vector<Finding>& findings, const Facts& facts, const Trial& trial) {
  const Figures& figures = trial.figures;
  if (!figures.packets_sent || !figures.packets_received) return;
  Finding finding{.name = "packets",
                  .detail = fmt::format("{:.0f} of {:.0f} answered", *figures.packets_received,
                                        *figures.packets_sent)};
  const double slow = IsEmulated(facts) ? kSlowRoundTripTcgUs : kSlowRoundTripKvmUs;
  if (*figures.packets_received <= 0) {
    finding.verdict = Verdict::kProblem;
    finding.remedy =
        "load the modules sch_ingress, cls_u32 and act_mirred, or set internetworking_model = "
        "\"macvtap\" in [runtime] of configuration.toml";
  } else if (*figures.packets_received < *figures.packets_sent) {
    finding.verdict = Verdict::kNote;
    finding.remedy = kBusy;
  }
  if (figures.round_trip_us && *figures.packets_received > 0) {
    finding.detail += fmt::format(", {} there and back", Duration(*figures.round_trip_us / 1000));
    if (*figures.round_trip_us > slow) {
      finding.verdict = std::max(finding.verdict, Verdict::kNote);
      finding.detail += fmt::format("; it should take less than {}", Duration(slow / 1000));
      if (finding.remedy.empty()) finding.remedy = kBusy;
    }
  }
  findings.push_back(std::move(finding));
}

void JudgeFiles(std::vector<Finding>& findings, const Facts& facts, const Trial& trial) {
  const auto& write = trial.figures.write_mib_per_second;
  const auto& read = trial.figures.read_mib_per_second;
  if (!write || !read) return;
  Finding finding{
      .name = "files",
      .detail = fmt::format("a shared directory is written at {:.0f} and read at {:.0f} MiB/s",
                            *write, *read)};
  if (std::min(*write, *read) < kSlowFilesMib) {
    finding.verdict = Verdict::kNote;
    finding.remedy = IsEmulated(facts)
                         ? "that is emulation's price; a volume on a block device is faster "
                           "(docs/disks.md)"
                         : std::string(kBusy);
  }
  findings.push_back(std::move(finding));
}

void JudgeTemplates(std::vector<Finding>& findings, const Facts& facts, const Trial& trial) {
  Finding finding{.name = "template"};
  const Phase* made = trial.Find("template");
  if (!facts.enable_template) {
    finding.verdict = Verdict::kNote;
    finding.detail = "off: every machine boots";
    finding.remedy = "enable_template = true in [factory] of configuration.toml";
  } else if (trial.began_from == "boot" || (made != nullptr && !made->error.empty())) {
    finding.verdict = Verdict::kNote;
    finding.detail = facts.template_failures.empty()
                         ? std::string("none could be used: machines boot")
                         : fmt::format("not made: {}", fmt::join(facts.template_failures, "; "));
    finding.remedy = fmt::format("see what kata-runtime factory init says, and the room in {}",
                                 facts.template_path);
  } else if (trial.made_template && made != nullptr) {
    finding.detail =
        fmt::format("made now, in {}: the next starts are copies of it", Duration(made->millis));
  } else {
    finding.detail = fmt::format("there, in {}", facts.template_path);
  }
  findings.push_back(std::move(finding));
}

void JudgeWarm(std::vector<Finding>& findings, const Facts& facts, const Trial& trial) {
  Finding finding{.name = "warm machines"};
  if (!facts.warm_service) {
    finding.verdict = Verdict::kNote;
    finding.detail = "the service kata-factory does not run: starts are copies of the template";
    finding.remedy = "systemctl enable --now kata-factory; docs/start.md tells what it costs";
  } else {
    finding.detail = fmt::format("{} of {} ready", facts.warm_ready, facts.warm_wanted);
    if (facts.warm_ready == 0 && trial.began_from != "warm" && facts.warm_wanted > 0) {
      finding.verdict = Verdict::kNote;
      finding.remedy =
          "none is made while less than 1 GiB of memory is left or processors are "
          "busy; journalctl -u kata-factory tells more";
    }
  }
  findings.push_back(std::move(finding));
}

void JudgeMemory(std::vector<Finding>& findings, const Facts& facts) {
  if (facts.machine_memory_mib <= 0 || facts.memory_available_mib <= 0) return;
  const int64_t machines = facts.memory_available_mib / facts.machine_memory_mib;
  Finding finding{
      .name = "room",
      .detail = fmt::format("{} MiB available: {} machine{} of {} MiB, were each to use "
                            "all of its own",
                            facts.memory_available_mib, machines, machines == 1 ? "" : "s",
                            facts.machine_memory_mib)};
  if (machines < 2) {
    finding.verdict = Verdict::kNote;
    finding.remedy =
        "lower default_memory in [hypervisor.qemu] of configuration.toml, or add memory";
  }
  findings.push_back(std::move(finding));
}

void JudgeVirtiofsd(std::vector<Finding>& findings, const Facts& facts) {
  if (!facts.shares_files || !facts.virtiofsd_in_c) return;
  findings.push_back(
      {.name = "virtiofsd",
       .verdict = Verdict::kNote,
       .detail = fmt::format("{}: the one in C, which QEMU 8 and later do not have any more; it "
                             "works, and gets no new features",
                             facts.virtiofsd_version),
       .remedy =
           "nothing has to be done; the one in Rust is taken where the distribution's package "
           "virtiofsd is installed (docs/virtiofsd.md has what differs)"});
}

void JudgeFrontEnds(std::vector<Finding>& findings, const Facts& facts) {
  for (const FrontEnd& front_end : facts.front_ends) {
    Finding finding{.name = front_end.name};
    if (front_end.configured) {
      finding.detail = fmt::format("{} knows this runtime ({})", front_end.path, front_end.file);
    } else if (front_end.name == "containerd") {
      // It finds a shim by the runtime's name; only its CRI plugin has a list.
      finding.detail = fmt::format(
          "{}: ctr and nerdctl take --runtime io.containerd.kata.v2; for Kubernetes, kata-runtime "
          "setup containerd",
          front_end.path);
    } else {
      finding.verdict = Verdict::kNote;
      finding.detail = fmt::format("{} does not know this runtime", front_end.path);
      finding.remedy = fmt::format("kata-runtime setup {}", front_end.name);
    }
    findings.push_back(std::move(finding));
  }
  if (facts.front_ends.empty()) {
    findings.push_back({.name = "front ends",
                        .detail =
                            "no Docker, containerd, Podman or CRI-O here: kata-runtime run and "
                            "the like start containers by themselves"});
  }
}

struct KnownError {
  std::string_view words;
  std::string_view remedy;
};

// By words of our own messages; the more particular ones first.
constexpr std::array kKnownErrors = {
    KnownError{"virtiofsd",
               "install virtiofsd (Debian 12: package qemu-system-common; later: "
               "virtiofsd), or correct virtio_fs_daemon in configuration.toml"},
    KnownError{"Cannot allocate memory",
               "free memory, or lower default_memory in [hypervisor.qemu] of configuration.toml"},
    KnownError{"No space left", "free room in /run and in the folder of templates"},
    KnownError{"emory",
               "raise default_memory in [hypervisor.qemu] of configuration.toml if the "
               "guest has too little, or free memory if the host has"},
    KnownError{"initrd",
               "install kata-cpp's guest files again, or correct initrd in "
               "configuration.toml"},
    KnownError{"kernel",
               "install kata-cpp's guest files again, or correct kernel in "
               "configuration.toml"},
    KnownError{"qemu", "install qemu-system-x86, or correct path in configuration.toml"},
    KnownError{"did not end within",
               "give it more time (--timeout), or look at what else this "
               "machine does; kata-runtime doctor --bundle keeps the logs"},
};

}  // namespace

std::string RemedyOf(const std::string& error) {
  const auto known =
      std::find_if(kKnownErrors.begin(), kKnownErrors.end(),
                   [&](const KnownError& k) { return error.find(k.words) != std::string::npos; });
  return known == kKnownErrors.end() ? "" : std::string(known->remedy);
}

std::string Duration(double millis) {
  if (millis >= 1000) return fmt::format("{:.1f} s", millis / 1000);
  return millis >= 10 ? fmt::format("{:.0f} ms", millis) : fmt::format("{:.1f} ms", millis);
}

std::vector<Finding> Judge(const Facts& facts, const Trial& trial) {
  std::vector<Finding> findings;
  // A template that could not be made is no reason that containers do not run.
  for (const Phase& phase : trial.phases) {
    if (!phase.error.empty() && phase.name != "template") findings.push_back(JudgeFailure(phase));
  }
  JudgeTimes(findings, facts, trial);
  JudgeProcessor(findings, facts, trial);
  JudgeNetwork(findings, facts, trial);
  JudgeFiles(findings, facts, trial);
  JudgeTemplates(findings, facts, trial);
  JudgeWarm(findings, facts, trial);
  JudgeMemory(findings, facts);
  JudgeVirtiofsd(findings, facts);
  JudgeFrontEnds(findings, facts);
  for (const std::string& left : trial.left) {
    findings.push_back({.name = "left behind", .verdict = Verdict::kNote, .detail = left});
  }
  return findings;
}

}  // namespace kata::cli::doctor
