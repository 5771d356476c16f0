// SPDX-License-Identifier: Apache-2.0
//
// host/agent/agent_client.h - typed calls to the guest's agent.
//
// Every call but the endless ones has a deadline, because the guest may be hostile or stuck: an
// answer that does not come is kDeadlineExceeded, a connection that breaks is kUnavailable.
// Blocking calls are for pool threads, asynchronous ones answer on the loop's thread. Basis: Kata
// Containers agent protocol, services grpc.AgentService and grpc.Health.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/agent/waiting_calls.h"
#include "metrics/histogram.h"
#include "proto/agent.pb.h"
#include "proto/csi.pb.h"
#include "proto/guest.pb.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/loopback_stand_ins.h"
#include "ttrpc/client.h"

namespace kata::agent {

// Names a process of the guest: `exec_id` is empty for a container's first process.
struct ProcessName {
  std::string container_id;
  std::string exec_id;
};

// A file, directory or symbolic link for the guest.
struct GuestFile {
  std::string path;
  std::string content;  // a file's bytes or a link's target
  mode_t mode = 0;      // with its type: S_IFREG, S_IFDIR or S_IFLNK
  uid_t uid = 0;
  gid_t gid = 0;
};

// What a guest has in use.
struct Online {
  uint32_t vcpus = 0;
  uint32_t plugged_mib = 0;  // memory that was added since it began
};

// What a copy of a saved guest is given, so that it is nobody's double.
struct Renewal {
  bool look_for_devices = false;  // that the saved one did not have
  std::string hostname;           // of the sandbox; empty: as it is
  // Of containers that are frozen, from what they were called to what they are.
  std::map<std::string, std::string> names;
  // A UUID that containers read in place of the kernel's; empty: they read what they did. An older
  // agent does not know of it.
  std::string boot_id;
};

class AgentClient {
 public:
  // Bytes asked for by one read of a stream, and the most that one write carries.
  static constexpr uint32_t kChunk = 256 << 10;

  // Speaks over `channel`. `on_closed` is called once, on the loop's thread, when it breaks.
  // `request_timeout` bounds each call that names no other. In a guest that was saved while it
  // talked with a client, another one begins with kFirstStreamOfCopy.
  static Result<std::unique_ptr<AgentClient>> Create(sys::EventLoop& loop, sys::UniqueFd channel,
                                                     std::chrono::milliseconds request_timeout,
                                                     std::function<void(Error)> on_closed,
                                                     uint32_t first_stream = 1);
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;
  ~AgentClient();

  static constexpr uint32_t kFirstStreamOfCopy = 1 << 16 | 1;

  // Waits until the agent answers: the guest may still be booting.
  Result<void> WaitUntilServing(Deadline deadline);

  Result<void> CreateSandbox(const agent::CreateSandboxRequest& request);
  // Makes room for another sandbox. kUnimplemented from an agent that is not ours.
  Result<void> ResetSandbox();
  Result<void> CreateContainer(const agent::CreateContainerRequest& request,
                               std::chrono::milliseconds timeout);
  Result<void> StartContainer(const std::string& container_id);
  Result<void> RemoveContainer(const std::string& container_id, std::chrono::milliseconds timeout);
  Result<void> ExecProcess(const agent::ExecProcessRequest& request);
  // SIGKILL has a short deadline: a guest that does not obey it is to lose its machine.
  Result<void> SignalProcess(const ProcessName& process, uint32_t signal);
  // Every process of the container. Other signals than SIGKILL need our own agent: kUnimplemented.
  Result<void> SignalAll(const std::string& container_id, uint32_t signal);
  Result<void> ResizeTerminal(const ProcessName& process, uint32_t rows, uint32_t columns);
  // The guest brings back what it has of the container's files; `patience` is for that, if it is
  // longer than for other calls.
  Result<void> PauseContainer(const std::string& container_id, std::chrono::milliseconds patience);
  Result<void> ResumeContainer(const std::string& container_id);
  Result<void> UpdateContainer(const agent::UpdateContainerRequest& request);
  Result<agent::StatsContainerResponse> StatsContainer(const std::string& container_id);
  Result<agent::StatsContainerResponse> StatsContainer(const std::string& container_id,
                                                       Deadline deadline);
  // Prometheus' text, at most as long as an answer can be; the guest may write anything.
  Result<std::string> GetMetrics(Deadline deadline);
  // How long the blocking calls took, by what Kata Containers calls them: "grpc.CheckRequest".
  const metrics::HistogramSet& call_times() const { return *call_times_; }
  // Every process of the container; kUnimplemented from an agent that is not ours.
  Result<std::vector<guest::GuestProcess>> ListProcesses(const std::string& container_id);
  // The same with what /proc of the guest has of each; answered on the loop's thread.
  void ListProcessFiles(
      const std::string& container_id,
      std::move_only_function<void(Result<std::vector<guest::GuestProcess>>)> done);
  // Of the file system at a path of the guest.
  Result<csi::VolumeStatsResponse> VolumeStats(const std::string& path);
  // Makes the file system of a storage as large as its disk, which has, or gets, `bytes`.
  Result<void> ResizeVolume(const std::string& mount_point, uint64_t bytes,
                            std::chrono::milliseconds timeout);
  // With `settings`, which may be null, they are set first; an interface without a name is none.
  Result<types::Interface> UpdateInterface(const types::Interface& interface,
                                           const agent::NetworkSettings* settings = nullptr);
  // kUnimplemented from an agent that is not ours.
  Result<void> ReleaseInterface(const std::string& permanent_mac);
  Result<void> UpdateRoutes(const agent::Routes& routes);
  Result<void> AddNeighbors(const agent::ARPNeighbors& neighbors);
  // Has the guest let go of paths that are no longer shared. Nobody waits for that.
  void ForgetPathsAsync(const std::vector<std::string>& paths);
  // Of the containers' namespace, as iptables-save and iptables-restore write and read it.
  // Errors  kFailedPrecondition  our agent has not been given the programs yet
  //         kInvalidArgument     not such text; nothing has changed
  Result<std::string> GetIpTables(bool ipv6);
  Result<void> SetIpTables(bool ipv6, const std::string& rules);
  // What the guest can mount: the names of its storage drivers.
  Result<std::vector<std::string>> StorageDrivers();
  // Has the guest look anew at the names of a storage's file system: an overlay whose directories
  // the host has changed. kUnimplemented from an agent that is not ours.
  // Errors  kNotFound  no storage is mounted there
  Result<void> ReconfigureMount(const std::string& mount_point);
  // The same for those who must not wait; errors are logged.
  void ReconfigureMountAsync(const std::string& mount_point);
  // Below it, what is copied can be removed again.
  static constexpr const char* kCopies = "/run/kata-containers/copies/";
  // In pieces. The agent takes it in few places only.
  Result<void> CopyFile(const GuestFile& file);
  // In this order; directories are empty by then. kUnimplemented from an agent that is not ours.
  Result<void> RemoveCopies(const std::vector<std::string>& paths);
  // The guest's questions to a name server at `address` of its loopback go to NextName from then
  // on. kUnimplemented from an agent that is not ours.
  Result<void> ListenForNames(const std::string& address);
  // Has the guest take processors and memory in use that the VMM has added, and waits for that: as
  // many processors as `cpus` in all, and `plugged_mib` beyond what the guest began with. What it
  // has after that; less where it does not get on any more. An agent that is not ours cannot count
  // memory: all of it is taken to be there.
  Result<Online> OnlineCpusAndMemory(uint32_t cpus, uint32_t plugged_mib);
  // Of a copy of a saved guest: makes it differ from its siblings, and sets its clock.
  // kUnimplemented from an agent that is not ours.
  Result<void> Renew(const Renewal& renewal, Deadline deadline);

  // Has every container stand still, and nobody wait in the guest for anything: it can be saved on
  // return. Calls that wait (those below) do not end by this; the guest gets them after Thaw. After
  // an error all goes on.
  // Errors  kDeadlineExceeded  names what did not come to rest
  //         kUnimplemented     an agent that cannot be saved
  Result<void> Freeze(Deadline deadline);
  // In a guest that was saved so: calls that wait are kept until Thaw.
  void BeginFrozen() { waiting_->Hold(); }
  // A copy that the guest has been sent, in place of what a frozen container has at `path`.
  struct ShownCopy {
    std::string copy;
    std::string path;
    bool read_only = false;
  };
  Result<void> ShowFiles(const std::string& container_id, const std::vector<ShownCopy>& files);
  // TCP connections of frozen containers end, whose other side is not theirs any more: nothing of
  // it is sent. `all`: of another copy than theirs, all but those within the guest; else those
  // whose address no interface has. Errors  kUnimplemented  an older agent
  Result<void> AbortConnections(bool all, Deadline deadline);
  // Lets them go on, after Renew. They stay frozen where that has not been.
  Result<void> Thaw(Deadline deadline);
  // A stream above all that were used, for the client of a copy of this guest.
  uint32_t next_stream() const;

  // The process's exit status, 0 to 255; answered once it has ended, however long that takes.
  void WaitProcess(const ProcessName& process, std::move_only_function<void(Result<int>)> done);
  // The next chunk of output; empty at its end.
  void ReadStdout(const ProcessName& process,
                  std::move_only_function<void(Result<std::string>)> done);
  void ReadStderr(const ProcessName& process,
                  std::move_only_function<void(Result<std::string>)> done);
  // Nobody reads the stream any more: the process gets SIGPIPE when it writes on. An agent that is
  // not ours takes it for a read, whose answer is thrown away.
  void CloseStdoutAsync(const ProcessName& process) { CloseOutput("ReadStdout", process); }
  void CloseStderrAsync(const ProcessName& process) { CloseOutput("ReadStderr", process); }
  void WriteStdin(const ProcessName& process, std::string data,
                  std::move_only_function<void(Result<void>)> done);
  void CloseStdinAsync(const ProcessName& process);
  // The container that next runs out of memory.
  void WaitOom(std::move_only_function<void(Result<std::string>)> done);

  // The sockets of the guest that wait for others, once they are not `known`. kUnimplemented from
  // an agent that is not ours.
  void NextListeners(const std::vector<sys::ReachedListener>& known,
                     std::move_only_function<void(Result<std::vector<sys::ReachedListener>>)> done);
  // Has the guest listen at these, and at no others, for the host's loopback.
  void KeepListenersAsync(const std::vector<sys::ReachedListener>& listeners);
  // TCP connections to the containers' loopback, by numbers of the caller's. Answered on the loop's
  // thread, the first two within the usual time; an empty chunk, to either side, is the end.
  void OpenConnection(uint64_t id, uint16_t port, bool ipv6,
                      std::move_only_function<void(Result<void>)> done);
  void CloseConnectionAsync(uint64_t id);
  void ReadConnection(uint64_t id, std::move_only_function<void(Result<std::string>)> done);
  void WriteConnection(uint64_t id, std::string data,
                       std::move_only_function<void(Result<void>)> done);

  void NextName(std::move_only_function<void(Result<guest::DnsMessage>)> done);
  void AnswerName(uint64_t id, std::string message);

  // Ends every call in flight.
  void Close(Error reason) { client_->Close(std::move(reason)); }

 private:
  static constexpr std::string_view kGuestService = "kata.cpp.v1.Guest";

  AgentClient(std::unique_ptr<ttrpc::Client> client, std::shared_ptr<WaitingCalls> waiting,
              std::chrono::milliseconds request_timeout)
      : waiting_(std::move(waiting)),
        client_(std::move(client)),
        request_timeout_(request_timeout) {
    client_->Observe([times = call_times_](std::string_view method, std::chrono::nanoseconds took) {
      times->Observe({"grpc." + std::string(method) + "Request"}, took);
    });
  }

  void CloseOutput(std::string_view method, const ProcessName& process);
  void ReadStream(std::string_view method, const ProcessName& process,
                  std::move_only_function<void(Result<std::string>)> done);
  template <class Response>
  Result<Response> Call(std::string_view method, const google::protobuf::MessageLite& request);
  Result<void> CallVoid(std::string_view method, const google::protobuf::MessageLite& request);
  Result<void> CallVoid(std::string_view method, const google::protobuf::MessageLite& request,
                        std::chrono::milliseconds timeout);

  // A call that waits in the guest, however long.
  template <class Response>
  void CallWaiting(std::string_view service, std::string_view method,
                   const google::protobuf::MessageLite& request,
                   std::move_only_function<void(Result<Response>)> done);

  const std::shared_ptr<metrics::HistogramSet> call_times_ =
      std::make_shared<metrics::HistogramSet>(
          "kata_shim_agent_rpc_durations_histogram_milliseconds",
          std::vector<std::string>{"action"});
  const std::shared_ptr<WaitingCalls> waiting_;
  std::unique_ptr<ttrpc::Client> client_;
  std::chrono::milliseconds request_timeout_;
};

}  // namespace kata::agent
