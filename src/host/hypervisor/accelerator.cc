// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/accelerator.h"

#include <fcntl.h>

#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/hypervisor/kvm_probe.h"
#include "sys/files.h"

namespace kata::hypervisor {
namespace {

using nlohmann::json;
using std::chrono::microseconds;

// About a hundred thousand instructions: well below a millisecond on a processor, and beyond the
// limit for an interpreter that needs a microsecond for each.
constexpr uint32_t kIterations = 20'000;
// Slower than this, a guest's kernel boots faster under TCG.
constexpr microseconds kFastEnough{20'000};

std::string BootId() {
  auto id = sys::ReadFile("/proc/sys/kernel/random/boot_id", 64);
  if (!id) return {};
  while (!id->empty() && id->back() == '\n') id->pop_back();
  return *std::move(id);
}

// Whether the processor's flags tell why KVM cannot work.
std::string MissingExtension() {
  const auto cpuinfo = sys::ReadFile("/proc/cpuinfo", 4 << 20);
  if (!cpuinfo) return {};
  const size_t begin = cpuinfo->find("\nflags");
  if (begin == std::string::npos) return {};
  const std::string flags = cpuinfo->substr(begin, cpuinfo->find('\n', begin + 1) - begin) + " ";
  if (flags.find(" vmx ") != std::string::npos || flags.find(" svm ") != std::string::npos) {
    return {};
  }
  return ", the processor offers neither vmx nor svm";
}

std::optional<AcceleratorChoice> ReadCache(const std::string& path) {
  const auto text = sys::ReadFile(path, 4096);
  if (!text) return std::nullopt;
  const json kept = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto word = [&](const char* name) -> std::string {
    return kept.is_object() && kept.contains(name) && kept[name].is_string()
               ? kept[name].get<std::string>()
               : std::string();
  };
  const std::string boot = word("boot_id");
  const std::string kind = word("kind");
  if (boot.empty() || boot != BootId() || (kind != "kvm" && kind != "tcg")) return std::nullopt;
  return AcceleratorChoice{kind == "kvm" ? AcceleratorKind::kKvm : AcceleratorKind::kTcg,
                           word("reason")};
}

void WriteCache(const std::string& path, const AcceleratorChoice& choice) {
  const json kept{{"boot_id", BootId()}, {"kind", choice.name()}, {"reason", choice.reason}};
  const std::string text =
      kept.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
  // Without the cache the next start probes again: a read-only /run is no reason to fail.
  if (!sys::MakeDirs(path.substr(0, path.rfind('/')))) return;
  (void)sys::ReplaceFile(path, text, 0644);
}

}  // namespace

AcceleratorChoice ProbeAccelerator() {
  const KvmProbeResult probe = RunKvmProbe(kIterations, /*wide_exchange=*/true, kProbeLimit);
  const double ms = static_cast<double>(probe.guest_time.count()) / 1000;
  switch (probe.outcome) {
    case KvmProbeResult::Outcome::kRan:
      if (probe.guest_time <= kFastEnough) {
        return {AcceleratorKind::kKvm,
                fmt::format("KVM ran the probe's guest code in {:.1f} ms", ms)};
      }
      return {AcceleratorKind::kTcg,
              fmt::format("KVM is too slow here: {:.0f} ms for guest code that takes a processor "
                          "less than one{}",
                          ms, MissingExtension())};
    case KvmProbeResult::Outcome::kTimedOut:
      return {
          AcceleratorKind::kTcg,
          fmt::format("KVM is too slow here: the probe's guest code was not done after {} ms{}{}",
                      kProbeLimit.count(), probe.detail.empty() ? "" : ", " + probe.detail,
                      MissingExtension())};
    case KvmProbeResult::Outcome::kFailed:
      return {AcceleratorKind::kTcg, fmt::format("KVM cannot run guest code here: {}{}",
                                                 probe.detail, MissingExtension())};
    case KvmProbeResult::Outcome::kUnavailable:
      break;
  }
  return {AcceleratorKind::kTcg, fmt::format("no KVM: {}", probe.detail)};
}

Result<AcceleratorChoice> ChooseAccelerator(std::string_view wanted,
                                            const std::string& cache_path) {
  if (wanted == "tcg") return AcceleratorChoice{AcceleratorKind::kTcg, "configured"};
  if (wanted == "kvm") {
    KATA_TRY_WITHIN("accelerator \"kvm\" is configured", sys::Open("/dev/kvm", O_RDWR));
    return AcceleratorChoice{AcceleratorKind::kKvm, "configured"};
  }
  if (wanted != "auto") {
    return Fail(Code::kInvalidArgument,
                fmt::format("accelerator \"{}\": auto, kvm or tcg is possible", wanted));
  }
  if (!cache_path.empty()) {
    if (auto kept = ReadCache(cache_path)) return *std::move(kept);
  }
  AcceleratorChoice choice = ProbeAccelerator();
  if (!cache_path.empty()) WriteCache(cache_path, choice);
  return choice;
}

}  // namespace kata::hypervisor
