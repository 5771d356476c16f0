// SPDX-License-Identifier: Apache-2.0
//
// host/machine/guest_network.h - keeps a machine's network like that of the namespace it lives in.
//
// Open, then MakeNics before the machine starts, Follow and Sync when its agent serves, Sync again
// whenever `changed` is called and before a container starts, Close when the machine has ended.
// Safe from every thread; Sync blocks and asks the guest, one after the other.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/call_queue.h"
#include "base/deadline.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/config/config.h"
#include "host/hypervisor/hypervisor.h"
#include "host/machine/guest_settings.h"
#include "host/machine/loopback_door.h"
#include "host/machine/name_relay.h"
#include "host/machine/socket_path.h"
#include "host/network/connection.h"
#include "host/network/egress_guard.h"
#include "host/network/plan.h"
#include "host/record/record.h"
#include "sys/event_loop.h"
#include "sys/netlink_socket.h"

namespace kata::sandbox {

// A NIC that a saved VM had: the one that goes on in its place must have the same.
struct SavedNic {
  std::string id;
  sys::MacAddress mac{};
  uint32_t queues = 1;
  std::optional<uint32_t> port;  // where it was plugged into the running VM
};

class GuestNetwork {
 public:
  struct Options {
    network::Model model = network::Model::kTcFilter;
    uint32_t queues = 1;
    bool vhost = true;           // where the host has it
    egress::Policy egress = {};  // where the guest may send to; empty: everywhere
    // The first NIC is the one that the saved VM had, used or not.
    bool of_template = false;
    // Instead: all that a saved VM had, whatever the namespace has. What the guest was told of them
    // then is forgotten.
    std::optional<std::vector<SavedNic>> saved = {};
  };
  // Of the NIC of every template; guests give it the address that its endpoint has.
  static constexpr sys::MacAddress kTemplateMac = {0x02, 'k', 'a', 't', 'a', 0};
  // Writes down what is connected, before it is.
  using Save = std::function<Result<void>(std::vector<NetworkEntry>)>;

  // The namespace bound at `path`, or a new one where that is empty. Where its interfaces are not
  // ours to take, it is used by sockets (network::ChooseModel), and so it is where `wanted` says
  // so. Errors  kFailedPrecondition  its interfaces are another machine's
  static Result<std::unique_ptr<GuestNetwork>> Open(const std::string& path, network::Model wanted);
  GuestNetwork(const GuestNetwork&) = delete;
  GuestNetwork& operator=(const GuestNetwork&) = delete;
  // After Close, where Follow was called.
  ~GuestNetwork() = default;

  // For the VMM to live in.
  Result<sys::UniqueFd> DuplicateNamespace() const;

  // The NICs that the machine is to begin with.
  Result<std::vector<hypervisor::Nic>> MakeNics(const Options& options, Save save);

  // Instead of MakeNics, for a machine that runs already with the NIC of `from`: takes that over,
  // its tap moved into this namespace. `from` has none afterwards.
  Result<void> TakeNic(GuestNetwork& from, const Options& options, Save save);

  // For a machine that runs already in a namespace of its own: before anything is connected.
  Result<void> SetEgress(egress::Policy policy);

  // Calls `changed` on the loop's thread a moment after something has changed in the namespace.
  void Follow(sys::EventLoop& loop, std::function<void()> changed);

  // Plugs, unplugs and configures what differs; does nothing where nothing has changed since the
  // last time. Until `deadline` it waits behind others.
  // Errors  kDeadlineExceeded  also: they have not come to an end by then
  Result<void> Sync(hypervisor::Hypervisor& vm, agent::AgentClient& agent, Deadline deadline);

  // From now on the loopback of a namespace that is the machine's alone leads into the guest
  // (LoopbackDoor). After Follow. A host that cannot do so is logged.
  void ShareLoopback(agent::AgentClient& agent);

  // Leaves the namespace's interfaces as they were. The machine has ended. Idempotent.
  void Close();

 private:
  // A NIC of the machine and its tap.
  struct GuestNic {
    std::string id;
    sys::MacAddress mac{};
    bool hot = false;
    std::string pci_path;
    network::Tap tap;                               // its descriptors are the machine's by then
    sys::UniqueFd kept;                             // of a tap that stays as long as its namespace
    std::optional<network::Connection> connection;  // of the endpoint that it stands for
    std::string configured;                         // what the guest was told last
    bool shares_names = false;                      // with Docker's name server
    bool in_use = false;  // in a guest that was saved, for what is no longer there
  };

  // The namespace whose network the guest is to have.
  struct Opened {
    sys::UniqueFd ns;
    sys::NamespaceId id;
    sys::NetlinkSocket socket;
    sys::UniqueFd events;
  };
  // The machine lives in it.
  GuestNetwork(std::string path, Opened opened)
      : path_(std::move(path)),
        namespace_(std::move(opened.ns)),
        served_(namespace_.get()),
        id_(opened.id),
        events_(std::move(opened.events)),
        socket_(std::move(opened.socket)) {}
  // It is used by sockets, and the machine lives in `inner`, which is new and that of `socket`.
  GuestNetwork(std::string path, Opened opened, sys::UniqueFd inner, sys::NetlinkSocket socket)
      : path_(std::move(path)),
        namespace_(std::move(inner)),
        served_(opened.ns.get()),
        id_(opened.id),
        events_(std::move(opened.events)),
        socket_(std::move(socket)),
        outer_(std::in_place, path_, std::move(opened.ns), std::move(opened.socket)) {}

  static Result<Opened> OpenAt(const std::string& path);
  // The machine lives in a namespace that goes with it.
  bool IsNamespaceOurs() const { return path_.empty() || IsBySockets(); }
  bool IsBySockets() const { return served_ != namespace_.get(); }

  void OnEvents();
  Result<std::vector<hypervisor::Nic>> MakeSavedNics(const network::NamespaceView& view)
      KATA_REQUIRES(calls_);
  // A tap for it that has none yet; the machine's NIC.
  Result<hypervisor::Nic> Furnish(GuestNic& nic, const std::string& tap, uint32_t queues)
      KATA_REQUIRES(calls_);
  Result<void> MakeGuard() KATA_REQUIRES(calls_);
  // Guards a tap that does not lead anywhere yet, where there is a policy.
  Result<void> Guard(const network::Tap& tap, network::Model model) KATA_REQUIRES(calls_);
  Result<void> CheckEndpoint(const network::Endpoint& endpoint, network::Model model) const
      KATA_REQUIRES(calls_);
  // Network::Disconnect of a NIC that the guest may go on to send by.
  Result<void> Disconnect(const GuestNic& nic) KATA_REQUIRES(calls_);
  void ReleaseUnused(agent::AgentClient& agent) KATA_REQUIRES(calls_);
  // What the guest is to have.
  Result<network::NamespaceView> Look() KATA_REQUIRES(calls_);
  // Has the NIC's frames end here, where the namespace is used by sockets.
  Result<void> Translate(const GuestNic& nic, const network::Endpoint& endpoint)
      KATA_REQUIRES(calls_);
  // What there is, looked at before anything is made for it.
  Result<network::NamespaceView> Begin(const Options& options, Save save) KATA_REQUIRES(calls_);
  // Finds out how frames pass here, while other things are done.
  void BeginTest(const network::NamespaceView& view) KATA_REQUIRES(calls_);
  Result<network::Model> WorkingModel() KATA_REQUIRES(calls_);
  Result<void> SaveConnections() KATA_REQUIRES(calls_);
  Result<hypervisor::Nic> DeviceOf(GuestNic& nic) KATA_REQUIRES(calls_);
  Result<void> Release(GuestNic& nic, hypervisor::Hypervisor& vm, agent::AgentClient& agent)
      KATA_REQUIRES(calls_);
  Result<void> Connect(const network::NetworkPlan::Connect& step, const network::Endpoint& endpoint,
                       network::Model model, hypervisor::Hypervisor& vm) KATA_REQUIRES(calls_);
  Result<void> Plug(const std::string& tap, const network::Endpoint& endpoint, network::Model model,
                    hypervisor::Hypervisor& vm) KATA_REQUIRES(calls_);
  Result<void> Configure(const network::NamespaceView& view, agent::AgentClient& agent)
      KATA_REQUIRES(calls_);
  Result<void> SyncOnce(hypervisor::Hypervisor& vm, agent::AgentClient& agent)
      KATA_REQUIRES(calls_);
  void RelayNames(agent::AgentClient& agent) KATA_REQUIRES(calls_);
  void ShareNameAnswers() KATA_REQUIRES(calls_);
  sys::MacAddress FreeMac(const sys::MacAddress& wanted) const KATA_REQUIRES(calls_);

  const std::string path_;
  const sys::UniqueFd namespace_;  // the machine's
  const int served_;               // the one whose network the guest has
  const sys::NamespaceId id_;      // of that
  const sys::UniqueFd events_;

  // The loop's.
  sys::EventLoop* loop_ = nullptr;
  std::function<void()> changed_;
  std::optional<sys::EventLoop::TimerId> timer_;

  std::atomic<bool> dirty_ = true;

  CallQueue calls_;  // of Sync to the guest and the VMM, and whatever else changes what follows
  sys::NetlinkSocket socket_ KATA_GUARDED_BY(calls_);        // of the machine's namespace
  std::optional<SocketPath> outer_ KATA_GUARDED_BY(calls_);  // where it is used by sockets
  std::optional<network::EgressGuard> guard_ KATA_GUARDED_BY(calls_);
  Options options_ KATA_GUARDED_BY(calls_);
  Save save_ KATA_GUARDED_BY(calls_);
  std::future<Result<network::Model>> test_ KATA_GUARDED_BY(calls_);
  std::optional<network::Model> model_ KATA_GUARDED_BY(calls_);
  std::vector<GuestNic> nics_ KATA_GUARDED_BY(calls_);
  int next_nic_ KATA_GUARDED_BY(calls_) = 0;
  std::shared_ptr<NameRelay> names_ KATA_GUARDED_BY(calls_);
  std::shared_ptr<LoopbackDoor> loopback_ KATA_GUARDED_BY(calls_);
  GuestSettings settings_ KATA_GUARDED_BY(calls_);
  std::string routes_ KATA_GUARDED_BY(calls_);              // what the guest was told last
  std::string neighbors_ KATA_GUARDED_BY(calls_);           // likewise
  std::vector<std::string> notes_ KATA_GUARDED_BY(calls_);  // that were logged already
};

// As configured; `of_template` as there.
Result<GuestNetwork::Options> NetworkOptions(const config::Config& config, bool of_template);

}  // namespace kata::sandbox
