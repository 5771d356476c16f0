// SPDX-License-Identifier: Apache-2.0
#include "host/shim/sandbox_metrics.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/record/network_report.h"
#include "host/record/record.h"
#include "host/record/size_report.h"
#include "host/shim/answer.h"
#include "metrics/parse.h"
#include "sys/files.h"

namespace kata::shim {
namespace {

using metrics::Builder;
using metrics::ProcessFigures;

constexpr const char* kOwnService = "kata.cpp.v1.Sandbox";
constexpr size_t kMostOfStat = 1 << 20;
constexpr double kMib = 1 << 20;
constexpr double kNanos = 1e9;
constexpr std::array<std::string_view, 2> kGuestPrefixes = {"kata_guest_", "kata_agent_"};

// Calls that wait for something to happen say nothing of how fast the shim is.
constexpr std::array<std::string_view, 2> kWaits = {"Wait", "WaitSandbox"};

// "CloseIO" becomes "close_io", as Kata Containers calls it.
std::string ActionOf(std::string_view method) {
  std::string action;
  bool after_lower = false;
  for (const char c : method) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && after_lower) action += '_';
    action += upper ? static_cast<char>(c - 'A' + 'a') : c;
    after_lower = !upper;
  }
  return action;
}

ProcessFigures FiguresOf(pid_t pid) { return metrics::ReadProcess(fmt::format("/proc/{}", pid)); }

// Memory that is the process's own: virtiofsd and the VMM share the guest's.
double OwnBytes(const ProcessFigures& figures) {
  return figures.Status("rssanon") + figures.Status("rssfile");
}

double Seconds(const ProcessFigures& figures) {
  return figures.cpu_ticks() / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

class Counted {
 public:
  explicit Counted(std::atomic<int>& count) : count_(count), now_(++count) {}
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --count_; }
  int now() const { return now_; }

 private:
  std::atomic<int>& count_;
  const int now_;
};

}  // namespace

SandboxMetrics::SandboxMetrics(sandbox::Sandbox& sandbox, sys::WorkerPool& pool)
    : sandbox_(sandbox),
      pool_(pool),
      call_times_(std::make_shared<metrics::HistogramSet>(
          "kata_shim_rpc_durations_histogram_milliseconds", std::vector<std::string>{"action"})) {}

void SandboxMetrics::Register(ttrpc::Server& server) {
  server.Observe([times = call_times_](std::string_view, std::string_view method,
                                       std::chrono::nanoseconds took) {
    if (std::ranges::find(kWaits, method) != kWaits.end()) return;
    times->Observe({ActionOf(method)}, took);
  });
  ServeOn<metrics::MetricsRequest, metrics::Metrics>(
      pool_, server, kOwnService, "Metrics",
      [this](const metrics::MetricsRequest&, const ttrpc::Responder&) { return Collect(); });
}

Result<metrics::Metrics> SandboxMetrics::Collect() {
  const Counted call(calls_);
  if (call.now() > kMostCalls) {
    return Fail(Code::kResourceExhausted, "others ask for the sandbox's metrics already");
  }
  Builder builder;
  Use use;
  const ProcessFigures self = FiguresOf(::getpid());
  metrics::AddProcess(builder, "kata_shim", self);
  metrics::AddCommonFigures(builder, "kata_shim", self,
                            sys::ReadFile("/proc/stat", kMostOfStat).value_or(""));
  use.host_seconds = Seconds(self);
  use.host_bytes = OwnBytes(self);
  builder.Add("kata_shim_containers", {}, static_cast<double>(sandbox_.container_ids().size()));
  call_times_->AddTo(builder);
  if (const auto guest = sandbox_.guest(); guest && guest->alive()) {
    AddMachine(builder, *guest, &use);
  }
  return builder.Take();
}

void SandboxMetrics::AddMachine(Builder& builder, const sandbox::Guest& guest, Use* use) {
  const pid_t vmm = guest.pid();
  const ProcessFigures of_vmm = FiguresOf(vmm);
  metrics::AddProcess(builder, "kata_hypervisor", of_vmm);
  builder.Add("kata_hypervisor_memory_given_back_bytes", {},
              std::max(0.0, of_vmm.Status("vmhwm") - of_vmm.Status("vmrss")));
  use->host_seconds += Seconds(of_vmm);
  use->host_bytes += of_vmm.Status("vmrss");
  std::vector<ProcessFigures> of_virtiofsd;
  for (const pid_t pid : guest.processes().pids()) {
    if (pid != vmm) of_virtiofsd.push_back(FiguresOf(pid));
  }
  if (!of_virtiofsd.empty()) {
    const ProcessFigures sum = metrics::Sum(of_virtiofsd);
    metrics::AddProcess(builder, "kata_virtiofsd", sum);
    use->host_seconds += Seconds(sum);
    use->host_bytes += OwnBytes(sum);
  }
  if (const auto size = sandbox::LoadSizeReport(sandbox_.id(), sandbox_.records())) {
    builder.Add("kata_hypervisor_machine_memory_bytes", {}, size->has.memory_mib * kMib);
    builder.Add("kata_hypervisor_machine_vcpus", {}, size->has.vcpus);
  }
  AddNetwork(builder);
  use->at = std::chrono::steady_clock::now();
  const bool answered = AddGuest(builder, guest, use);
  builder.Add("kata_shim_guest_up", {}, answered ? 1 : 0);
  if (answered) AddOverhead(builder, *use);
  guest.agent()->call_times().AddTo(builder);
}

bool SandboxMetrics::AddGuest(Builder& builder, const sandbox::Guest& guest, Use* use) {
  const Deadline deadline = Deadline::After(kGuestPatience);
  const auto text = guest.agent()->GetMetrics(deadline);
  if (!text) {
    log::Info("the guest tells no metrics", {{"error", text.error().message()}});
    return false;
  }
  const metrics::Parsed parsed = metrics::ParseGuestText(*text, kGuestPrefixes);
  builder.AddAll(parsed.metrics);
  builder.Add("kata_shim_guest_samples_refused", {}, static_cast<double>(parsed.refused));
  for (const std::string& id : sandbox_.container_ids()) {
    const auto stats = guest.agent()->StatsContainer(id, deadline);
    if (!stats) {
      // One that has just ended, or is just being made, has nothing to tell.
      if (stats.error().code() == Code::kDeadlineExceeded) return false;
      continue;
    }
    const agent::CgroupStats& cgroup = stats->cgroup_stats();
    use->container_seconds +=
        static_cast<double>(cgroup.cpu_stats().cpu_usage().total_usage()) / kNanos;
    use->container_bytes += static_cast<double>(cgroup.memory_stats().usage().usage());
  }
  return true;
}

void SandboxMetrics::AddNetwork(Builder& builder) {
  const auto record = sandbox::LoadRecord(sandbox_.id(), sandbox_.records());
  if (!record || record->networks.empty()) return;
  const auto endpoints = sandbox::ReportNetwork(*record);
  if (!endpoints) return;  // it is just ending
  for (const sandbox::EndpointReport& each : *endpoints) {
    const sys::LinkCounters& count = each.link.counters;
    const std::pair<const char*, uint64_t> items[] = {
        {"recv_bytes", count.rx_bytes}, {"recv_packets", count.rx_packets},
        {"recv_errs", count.rx_errors}, {"recv_drop", count.rx_dropped},
        {"sent_bytes", count.tx_bytes}, {"sent_packets", count.tx_packets},
        {"sent_errs", count.tx_errors}, {"sent_drop", count.tx_dropped}};
    for (const auto& [item, value] : items) {
      builder.Add("kata_shim_netdev", {{"interface", each.link.name}, {"item", item}},
                  static_cast<double>(value));
    }
    if (!each.denied) continue;
    builder.Add("kata_shim_egress_denied_packets_total", {{"interface", each.link.name}},
                static_cast<double>(each.denied->packets));
    builder.Add("kata_shim_egress_denied_connections_total", {{"interface", each.link.name}},
                static_cast<double>(each.denied->connections));
  }
}

void SandboxMetrics::AddOverhead(Builder& builder, const Use& use) {
  // A guest may claim any use of its containers.
  builder.Add("kata_shim_pod_overhead_memory_in_bytes", {},
              std::max(0.0, use.host_bytes - use.container_bytes));
  std::optional<Use> last;
  {
    const MutexLock lock(mutex_);
    last = std::exchange(last_, use);
  }
  // Without one before there is no time that the use is of.
  if (!last) return;
  const double elapsed = std::chrono::duration<double>(use.at - last->at).count();
  const double beside =
      (use.host_seconds - last->host_seconds) - (use.container_seconds - last->container_seconds);
  if (elapsed > 0)
    builder.Add("kata_shim_pod_overhead_cpu", {}, std::max(0.0, 100 * beside / elapsed));
}

}  // namespace kata::shim
