// SPDX-License-Identifier: Apache-2.0
//
// Methods about the guest as a machine, and about the agent itself.
#include <fcntl.h>
#include <linux/random.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "base/version.h"
#include "guest/agent/hotplug.h"
#include "guest/agent/metrics.h"
#include "guest/agent/network/connections.h"
#include "guest/agent/run_in_child.h"
#include "guest/agent/service/services.h"
#include "guest/agent/shown_files.h"
#include "proto/csi.pb.h"
#include "proto/guest.pb.h"
#include "proto/health.pb.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

using ttrpc::CallContext;
using ttrpc::Responder;

constexpr const char* kSys = "/sys";
constexpr const char* kProtocolVersion = "0.0.1";

Result<agent::GuestDetailsResponse> GetGuestDetails(const agent::GuestDetailsRequest& request) {
  agent::GuestDetailsResponse response;
  if (request.mem_block_size()) response.set_mem_block_size_bytes(MemoryBlockSize(kSys));
  if (request.mem_hotplug_probe()) {
    response.set_support_mem_hotplug_probe(SupportsMemoryProbe(kSys));
  }
  agent::AgentDetails& details = *response.mutable_agent_details();
  details.set_version(kVersion);
  details.set_init_daemon(Agent::IsInit());
  details.set_supports_seccomp(true);
  for (const std::string_view name : StorageDrivers()) {
    details.add_storage_handlers(std::string(name));
  }
  for (const std::string_view name : DeviceDrivers()) {
    details.add_device_handlers(std::string(name));
  }
  details.add_extra_features(kGuestService);
  return response;
}

Result<void> SetClock(int64_t seconds, int64_t nanoseconds) {
  constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
  if (seconds < 0 || nanoseconds < 0 || nanoseconds >= kNanosecondsPerSecond) {
    return Fail(Code::kInvalidArgument,
                fmt::format("time of {} s and {} ns", seconds, nanoseconds));
  }
  const timespec now{.tv_sec = seconds, .tv_nsec = nanoseconds};
  if (::clock_settime(CLOCK_REALTIME, &now) != 0) return FailErrno("clock_settime");
  return {};
}

Result<void> SetGuestDateTime(const agent::SetGuestDateTimeRequest& request) {
  constexpr int64_t kMicrosecondsPerSecond = 1'000'000;
  if (request.usec() < 0 || request.usec() >= kMicrosecondsPerSecond) {
    return Fail(Code::kInvalidArgument, fmt::format("time of {} us", request.usec()));
  }
  return SetClock(request.sec(), request.usec() * 1000);
}

Result<void> Reseed(const std::string& seed) {
  constexpr size_t kMaxSeed = 4096;
  if (seed.empty() || seed.size() > kMaxSeed) {
    return Fail(Code::kInvalidArgument,
                fmt::format("seed of {} bytes, not 1 to {}", seed.size(), kMaxSeed));
  }
  const sys::UniqueFd random = KATA_TRY(sys::Open("/dev/urandom", O_RDWR));
  // struct rand_pool_info ends in the bytes.
  std::vector<int> buffer(2 + (seed.size() + sizeof(int) - 1) / sizeof(int));
  buffer[0] = static_cast<int>(seed.size() * 8);
  buffer[1] = static_cast<int>(seed.size());
  std::memcpy(&buffer[2], seed.data(), seed.size());
  if (::ioctl(random.get(), RNDADDENTROPY, buffer.data()) != 0) return FailErrno("RNDADDENTROPY");
  // A clone of a virtual machine must not hand out numbers that its siblings do.
  if (::ioctl(random.get(), RNDRESEEDCRNG) != 0) return FailErrno("RNDRESEEDCRNG");
  return {};
}

Result<void> ReseedRandomDev(const agent::ReseedRandomDevRequest& request) {
  return Reseed(request.data());
}

// `open_calls` counts those of the connection.
void Freeze(Agent& agent, Freezer::OpenCalls open_calls, const FreezeRequest& request,
            Responder responder) {
  constexpr std::chrono::milliseconds kLongestFreeze = std::chrono::minutes(5);
  const std::chrono::milliseconds timeout =
      std::min(std::chrono::milliseconds(request.timeout_ms()), kLongestFreeze);
  // The host's end of them is not saved.
  agent.connections().CloseAll();
  agent.freezer().Freeze(std::move(open_calls), Deadline::After(timeout),
                         AnswerLater(std::move(responder)));
}

// All of it that takes no time.
Result<void> RenewNow(Agent& agent, const RenewRequest& request) {
  constexpr size_t kLeastSeed = 32;
  if (request.entropy().size() < kLeastSeed) {
    return Fail(Code::kInvalidArgument, fmt::format("seed of {} bytes, not {} or more",
                                                    request.entropy().size(), kLeastSeed));
  }
  KATA_TRY(Reseed(request.entropy()));
  if (request.seconds() != 0 || request.nanoseconds() != 0) {
    KATA_TRY(SetClock(request.seconds(), request.nanoseconds()));
  }
  if (request.look_for_devices()) KATA_TRY(sys::WriteControl("/sys/bus/pci/rescan", "1"));
  if (!request.hostname().empty()) KATA_TRY(agent.SetHostname(request.hostname()));
  for (const ContainerName& name : request.names()) {
    KATA_TRY(agent.RenameContainer(name.old(), name.now()));
  }
  return {};
}

void Renew(Agent& agent, const RenewRequest& request, Responder responder) {
  if (auto renewed = RenewNow(agent, request); !renewed) return responder.Fail(renewed.error());
  const auto end = [&agent](Responder& to, const Result<void>& result) {
    if (result) agent.freezer().Renewed();
    Answer(to, result);
  };
  if (request.boot_id().empty()) return end(responder, {});
  ShowBootId(agent.loop(), agent.containers(), request.boot_id(),
             [end, responder = std::move(responder)](const Result<void>& shown) mutable {
               end(responder, shown);
             });
}

Result<std::vector<pid_t>> FrozenProcesses(Agent& agent) {
  if (agent.freezer().CheckThawed()) {
    return Fail(Code::kFailedPrecondition, "only what is frozen can lose its connections");
  }
  std::vector<pid_t> all;
  for (const auto& [id, entry] : agent.containers().entries()) {
    if (!entry->container) continue;
    const auto pids = KATA_TRY(entry->container->Pids());
    all.insert(all.end(), pids.begin(), pids.end());
  }
  return all;
}

// In a process of its own: there may be many sockets, and they are of the containers' network.
void AbortConnections(Agent& agent, const AbortConnectionsRequest& request, Responder responder) {
  const auto pids = FrozenProcesses(agent);
  const auto network = agent.network();
  if (!pids) return responder.Fail(pids.error());
  if (!network) return responder.Fail(network.error());
  const int fd = (*network)->fd();
  const auto shared = std::make_shared<Responder>(std::move(responder));
  const auto begun = RunInChild(
      agent.loop(),
      [&]() -> Result<std::string> {
        if (::setns(fd, CLONE_NEWNET) != 0) return FailErrno("setns", "network");
        const size_t count =
            KATA_TRY(guest::AbortConnections(*pids, request.all() ? Abort::kAll : Abort::kStale));
        return std::to_string(count);
      },
      [shared](const Result<std::string>& count) {
        if (!count) return shared->Fail(count.error());
        if (*count != "0") log::Info("connections aborted", {{"count", *count}});
        shared->ReplyEmpty();
      },
      {fd});
  if (!begun) shared->Fail(begun.error());
}

bool IsCopy(const std::string& path) {
  const auto is_below = [&](const char* folder) {
    return path.starts_with(std::string(folder) + "/") && !path.contains("/..");
  };
  return is_below(kSharedDir) || is_below(kCopiesDir);
}

void ShowFiles(Agent& agent, const ShowFilesRequest& request, Responder responder) {
  if (agent.freezer().CheckThawed()) {
    return responder.Fail(
        Error(Code::kFailedPrecondition, "only what is frozen can be shown other files"));
  }
  const auto entry = agent.containers().Find(request.container_id());
  if (!entry) return responder.Fail(entry.error());
  std::vector<ShownFile> files;
  for (const ShowFilesRequest::File& file : request.files()) {
    if (!IsCopy(file.copy()) || !file.path().starts_with('/')) {
      return responder.Fail(Error(Code::kInvalidArgument, "no copy, or no path to show it at"));
    }
    files.push_back({.file = file.copy(), .path = file.path(), .read_only = file.read_only()});
  }
  ShowFiles(agent.loop(), {(*entry)->init->pid()}, files, AnswerLater(std::move(responder)));
}

Result<csi::VolumeStatsResponse> GetVolumeStats(const agent::VolumeStatsRequest& request) {
  struct statfs status{};
  if (::statfs(request.volume_guest_path().c_str(), &status) != 0) {
    return FailErrno("statfs", request.volume_guest_path());
  }
  csi::VolumeStatsResponse response;
  const auto add = [&response](uint64_t total, uint64_t free, uint64_t unit_size,
                               csi::VolumeUsage::Unit unit) {
    csi::VolumeUsage& usage = *response.add_usage();
    usage.set_total(total * unit_size);
    usage.set_available(free * unit_size);
    usage.set_used((total - free) * unit_size);
    usage.set_unit(unit);
  };
  const auto block_size = static_cast<uint64_t>(status.f_bsize);
  add(status.f_blocks, status.f_bfree, block_size, csi::VolumeUsage::BYTES);
  add(status.f_files, status.f_ffree, 1, csi::VolumeUsage::INODES);
  response.mutable_volume_condition()->set_abnormal(false);
  return response;
}

// What the host waits for before it believes that no more will come.
constexpr std::chrono::seconds kOnlinePatience{10};

void OnlineResources(Agent& agent, const OnlineResourcesRequest& request, Responder responder) {
  agent.plugged().Await({.cpus = request.cpus(), .bytes = request.plugged_bytes()}, kOnlinePatience,
                        [responder = std::move(responder)](Plugged now) mutable {
                          OnlineResourcesResponse response;
                          response.set_cpus(now.cpus);
                          response.set_plugged_bytes(now.bytes);
                          responder.Reply(response);
                        });
}

Result<void> OnlineOnce(const agent::OnlineCPUMemRequest& request) {
  KATA_TRY(OnlineCpus(kSys));
  if (!request.cpu_only()) KATA_TRY(OnlineMemory(kSys));
  return {};
}

// A processor appears some time after the VMM was told to plug it.
void OnlineUntil(Agent& agent, const agent::OnlineCPUMemRequest& request, Deadline deadline,
                 Agent::Done done) {
  if (auto once = OnlineOnce(request); !once) return done(std::move(once));
  const Result<uint32_t> online = CountOnlineCpus(kSys);
  if (!online) return done(std::unexpected(online.error()));
  if (*online >= request.nb_cpus()) return done({});
  if (deadline.Passed()) {
    return done(Fail(Code::kDeadlineExceeded,
                     fmt::format("{} of {} processors are online", *online, request.nb_cpus())));
  }
  constexpr std::chrono::milliseconds kPause{20};
  agent.loop().RunAfter(kPause, [&agent, request, deadline, done = std::move(done)]() mutable {
    OnlineUntil(agent, request, deadline, std::move(done));
  });
}

Result<agent::Metrics> GetMetrics(Agent& agent) {
  static uint64_t scrapes = 0;
  AgentCounts counts{.scrapes = ++scrapes, .containers = agent.containers().entries().size()};
  for (const auto& [id, entry] : agent.containers().entries()) {
    counts.processes += entry->execs.size() + (entry->init ? 1 : 0);
  }
  agent::Metrics metrics;
  const auto format = [&] { metrics.set_metrics(FormatMetrics("/proc", counts)); };
  const auto network = agent.network();
  if (network) {
    KATA_TRY((*network)->Within(format));
  } else {
    format();
  }
  return metrics;
}

Result<health::HealthCheckResponse> Check(const health::CheckRequest&) {
  health::HealthCheckResponse response;
  response.set_status(health::HealthCheckResponse::SERVING);
  return response;
}

Result<health::VersionCheckResponse> Version(const health::CheckRequest&) {
  health::VersionCheckResponse response;
  response.set_grpc_version(kProtocolVersion);
  response.set_agent_version(kVersion);
  return response;
}

}  // namespace

void RegisterMachineMethods(ttrpc::Server& server, Agent& agent) {
  HandleNow<health::CheckRequest>(server, kHealthService, "Check", Check);
  HandleNow<health::CheckRequest>(server, kHealthService, "Version", Version);
  HandleNow<agent::GuestDetailsRequest>(server, kAgentService, "GetGuestDetails", GetGuestDetails);
  HandleNow<agent::SetGuestDateTimeRequest>(server, kAgentService, "SetGuestDateTime",
                                            SetGuestDateTime);
  HandleNow<agent::ReseedRandomDevRequest>(server, kAgentService, "ReseedRandomDev",
                                           ReseedRandomDev);
  server.Handle<RenewRequest>(
      kGuestService, "Renew",
      [&agent](CallContext, const RenewRequest& request, Responder responder) {
        Renew(agent, request, std::move(responder));
      });
  server.Handle<ShowFilesRequest>(
      kGuestService, "ShowFiles",
      [&agent](CallContext, const ShowFilesRequest& request, Responder responder) {
        ShowFiles(agent, request, std::move(responder));
      });
  server.Handle<AbortConnectionsRequest>(
      kGuestService, "AbortConnections",
      [&agent](CallContext, const AbortConnectionsRequest& request, Responder responder) {
        AbortConnections(agent, request, std::move(responder));
      });
  server.Handle<FreezeRequest>(
      kGuestService, "Freeze",
      [&agent, &server](CallContext, const FreezeRequest& request, Responder responder) {
        Freeze(
            agent, [&server] { return server.calls_in_flight(); }, request, std::move(responder));
      });
  HandleNow<ThawRequest>(server, kGuestService, "Thaw",
                         [&agent](const ThawRequest&) { return agent.freezer().Thaw(); });
  HandleNow<agent::VolumeStatsRequest>(server, kAgentService, "GetVolumeStats", GetVolumeStats);
  HandleNow<agent::MemHotplugByProbeRequest>(
      server, kAgentService, "MemHotplugByProbe",
      [](const agent::MemHotplugByProbeRequest& request) {
        const auto& addresses = request.mem_hotplug_probe_addr();
        return ProbeMemory(kSys, {addresses.data(), static_cast<size_t>(addresses.size())});
      });
  HandleNow<agent::GetMetricsRequest>(
      server, kAgentService, "GetMetrics",
      [&agent](const agent::GetMetricsRequest&) { return GetMetrics(agent); });
  server.Handle<OnlineResourcesRequest>(
      kGuestService, "OnlineResources",
      [&agent](CallContext, const OnlineResourcesRequest& request, Responder responder) {
        OnlineResources(agent, request, std::move(responder));
      });
  server.Handle<agent::OnlineCPUMemRequest>(
      kAgentService, "OnlineCPUMem",
      [&agent](CallContext, const agent::OnlineCPUMemRequest& request, Responder responder) {
        constexpr std::chrono::seconds kTimeout{5};
        OnlineUntil(agent, request, Deadline::After(kTimeout), AnswerLater(std::move(responder)));
      });
}

}  // namespace kata::guest
