// SPDX-License-Identifier: Apache-2.0
#include "host/machine/guest_network.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "host/network/name_answers.h"
#include "host/network/path_choice.h"
#include "host/plan/egress_policy.h"
#include "host/plan/network_messages.h"
#include "host/plan/vm_plan.h"
#include "host/record/phases.h"
#include "sys/netns.h"

namespace kata::sandbox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPlugTimeout = seconds(20);
// Whoever makes a network makes it in several steps.
constexpr auto kSettle = milliseconds(30);
// linux/rtnetlink.h has no such name for rules of IPv6.
constexpr uint32_t kIpv6Rule = 1U << (RTNLGRP_IPV6_RULE - 1);
constexpr uint32_t kGroups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                             RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | kIpv6Rule;

struct Sockets {
  sys::NetlinkSocket calls;
  sys::UniqueFd events;
};

Result<Sockets> OpenSockets() {
  auto calls = KATA_TRY(sys::NetlinkSocket::Open());
  return Sockets{std::move(calls), KATA_TRY(sys::OpenNetlinkEvents(kGroups))};
}

// Gone between two looks at it.
bool HasVanished(const Error& error) {
  return error.code() == Code::kNotFound || error.error_number() == ENODEV ||
         error.error_number() == ENXIO || error.error_number() == EINVAL;
}

}  // namespace

Result<GuestNetwork::Options> NetworkOptions(const config::Config& config, bool of_template) {
  return GuestNetwork::Options{
      .model = KATA_TRY(network::ModelByName(config.runtime.internetworking_model)),
      .queues = QueuesOf(config),
      .vhost = !config.hypervisor.disable_vhost_net,
      .egress = KATA_TRY(EgressPolicyOf(config.runtime)),
      .of_template = of_template};
}

Result<GuestNetwork::Opened> GuestNetwork::OpenAt(const std::string& path) {
  sys::UniqueFd ns = path.empty()
                         ? KATA_TRY(sys::MakeNetworkNamespace())
                         : KATA_TRY_WITHIN("network namespace", sys::OpenNetworkNamespace(path));
  const sys::NamespaceId id = KATA_TRY(sys::IdOfNamespace(ns.get()));
  Sockets sockets = KATA_TRY(sys::RunInNetns(ns.get(), &OpenSockets));
  return Opened{.ns = std::move(ns),
                .id = id,
                .socket = std::move(sockets.calls),
                .events = std::move(sockets.events)};
}

Result<std::unique_ptr<GuestNetwork>> GuestNetwork::Open(const std::string& path,
                                                         network::Model wanted) {
  Opened opened = KATA_TRY(OpenAt(path));
  if (!path.empty()) {
    const network::NamespaceOwner owner = KATA_TRY(network::WhoseNamespace(opened.ns.get()));
    const network::Model model = KATA_TRY(network::ChooseModel(wanted, owner, path));
    // With none it lives elsewhere as well: it has no business there.
    if (model == network::Model::kSockets || owner.use != network::NamespaceUse::kFree) {
      sys::UniqueFd inner = KATA_TRY(sys::MakeNetworkNamespace());
      auto socket =
          KATA_TRY(sys::RunInNetns(inner.get(), [] { return sys::NetlinkSocket::Open(); }));
      return std::unique_ptr<GuestNetwork>(
          new GuestNetwork(path, std::move(opened), std::move(inner), std::move(socket)));
    }
  }
  return std::unique_ptr<GuestNetwork>(new GuestNetwork(path, std::move(opened)));
}

Result<sys::UniqueFd> GuestNetwork::DuplicateNamespace() const {
  return sys::Duplicate(namespace_.get());
}

Result<network::NamespaceView> GuestNetwork::Begin(const Options& options, Save save) {
  options_ = options;
  save_ = std::move(save);
  if (IsBySockets() && options_.model != network::Model::kNone) {
    options_.model = network::Model::kSockets;
  } else if (options_.model == network::Model::kSockets) {
    // Nobody has put anything into a new namespace yet: its interfaces come later, as frames.
    options_.model = network::Model::kTcFilter;
  }
  KATA_TRY(MakeGuard());
  settings_.Begin(IsBySockets() ? network::SettingsFor::kSockets : network::SettingsFor::kFrames,
                  options_.saved.has_value());
  network::NamespaceView view = KATA_TRY(Look());
  // Before anything boots in vain.
  if (options_.model != network::Model::kNone && !IsBySockets()) {
    for (const network::Endpoint& endpoint : view.endpoints) {
      KATA_TRY(CheckEndpoint(endpoint, options_.model));
    }
  }
  return view;
}

Result<network::NamespaceView> GuestNetwork::Look() {
  return outer_ ? outer_->Look() : network::Discover(socket_);
}

Result<void> GuestNetwork::Translate(const GuestNic& nic, const network::Endpoint& endpoint) {
  if (!outer_) return {};
  return outer_->Begin(namespace_.get(), socket_, nic.tap.link, endpoint, options_.egress);
}

void GuestNetwork::BeginTest(const network::NamespaceView& view) {
  if (!IsBySockets() && options_.model != network::Model::kNone && !view.endpoints.empty()) {
    test_ = std::async(std::launch::async, &network::FirstWorkingModel, options_.model);
  }
}

void GuestNetwork::Follow(sys::EventLoop& loop, std::function<void()> changed) {
  loop_ = &loop;
  changed_ = std::move(changed);
  loop.Post([this] {
    LogIfFailed(loop_->Add(events_.get(), EPOLLIN, [this](uint32_t) { OnEvents(); }));
  });
}

void GuestNetwork::OnEvents() {
  if (!sys::DrainNetlinkEvents(events_.get())) return;
  dirty_ = true;
  if (timer_) return;
  timer_ = loop_->RunAfter(kSettle, [this] {
    timer_.reset();
    changed_();
  });
}

Result<network::Model> GuestNetwork::WorkingModel() {
  if (IsBySockets()) return options_.model;
  if (!model_) {
    model_ = KATA_TRY(test_.valid() ? test_.get() : network::FirstWorkingModel(options_.model));
  }
  return *model_;
}

Result<void> GuestNetwork::SaveConnections() {
  std::vector<NetworkEntry> entries;
  for (const GuestNic& nic : nics_) {
    if (!nic.connection) continue;
    entries.push_back(
        {.namespace_path = path_, .namespace_id = id_, .connection = *nic.connection});
  }
  return save_(std::move(entries));
}

Result<void> GuestNetwork::Release(GuestNic& nic, hypervisor::Hypervisor& vm,
                                   agent::AgentClient& agent) {
  log::Info("an interface has gone", {{"interface", nic.connection->interface}, {"nic", nic.id}});
  LogIfFailed(Disconnect(nic));
  nic.connection.reset();
  nic.configured.clear();
  nic.shares_names = false;
  KATA_TRY(SaveConnections());
  if (nic.hot) {
    if (outer_) outer_->End();
    return vm.Detach(nic.id, Deadline::After(kPlugTimeout));
  }
  return agent.ReleaseInterface(sys::MacText(nic.mac));
}

Result<void> GuestNetwork::Plug(const std::string& tap, const network::Endpoint& endpoint,
                                network::Model model, hypervisor::Hypervisor& vm) {
  KATA_TRY(network::CheckFree(model, socket_, endpoint));
  GuestNic nic{.id = fmt::format("net{}", next_nic_++), .hot = true};
  nic.mac = FreeMac(endpoint.link.mac);
  nic.connection = {.interface = endpoint.link.name,
                    .link = endpoint.link.index,
                    .tap = endpoint.link.kind == "tun" ? endpoint.link.name : tap,
                    .model = model};
  nics_.push_back(std::move(nic));
  GuestNic& added = nics_.back();
  Rollback undo;
  undo.Add([&]() KATA_REQUIRES(calls_) {
    nics_.pop_back();
    LogIfFailed(SaveConnections());
  });
  KATA_TRY(SaveConnections());
  added.tap = KATA_TRY(
      network::MakeTapFor(model, namespace_.get(), socket_, endpoint, tap, options_.queues));
  KATA_TRY(Guard(added.tap, model));
  KATA_TRY(network::Connect(model, socket_, endpoint, added.tap));
  KATA_TRY(Translate(added, endpoint));
  // Not before: what a Connect that failed has found there is somebody else's.
  undo.Add([&]() KATA_REQUIRES(calls_) {
    if (outer_) outer_->End();
    LogIfFailed(network::Disconnect(socket_, *added.connection));
  });
  auto device = KATA_TRY(DeviceOf(added));
  added.pci_path = KATA_TRY(vm.Attach(std::move(device), Deadline::After(kPlugTimeout))).pci_path;
  undo.Release();
  return {};
}

Result<void> GuestNetwork::Connect(const network::NetworkPlan::Connect& step,
                                   const network::Endpoint& endpoint, network::Model model,
                                   hypervisor::Hypervisor& vm) {
  if (!IsBySockets()) KATA_TRY(CheckEndpoint(endpoint, model));
  if (!step.nic) return Plug(step.tap, endpoint, model, vm);
  KATA_TRY(network::CheckFree(model, socket_, endpoint));
  GuestNic& nic = nics_[*step.nic];
  nic.connection = {.interface = endpoint.link.name,
                    .link = endpoint.link.index,
                    .tap = nic.tap.name,
                    .model = model};
  Rollback undo;
  undo.Add([&]() KATA_REQUIRES(calls_) {
    nic.connection.reset();
    LogIfFailed(SaveConnections());
  });
  KATA_TRY(SaveConnections());
  KATA_TRY(network::Connect(model, socket_, endpoint, nic.tap));
  KATA_TRY(Translate(nic, endpoint));
  undo.Release();
  return {};
}

Result<void> GuestNetwork::Configure(const network::NamespaceView& view,
                                     agent::AgentClient& agent) {
  routes::NamesByLink names;
  bool any = false;
  auto settings = settings_.Plan(view);
  const auto update = [&](const types::Interface& wanted) KATA_REQUIRES(calls_) -> Result<void> {
    KATA_TRY(agent.UpdateInterface(wanted, settings ? &*settings : nullptr));
    if (std::exchange(settings, std::nullopt)) settings_.Told();
    return {};
  };
  for (const network::Endpoint& endpoint : view.endpoints) {
    const auto nic = std::ranges::find_if(nics_, [&](const GuestNic& each) {
      return each.connection && each.connection->link == endpoint.link.index;
    });
    if (nic == nics_.end()) continue;
    const types::Interface wanted = InterfaceFor(endpoint, nic->mac, nic->pci_path);
    names[endpoint.link.index] = endpoint.link.name;
    if (std::string text = wanted.SerializeAsString(); text != nic->configured) {
      KATA_TRY(update(wanted));
      nic->configured = std::move(text);
      any = true;
    }
  }
  if (settings) KATA_TRY(update({}));
  const agent::Routes routes = RoutesFor(view, names);
  // An interface that is configured anew loses its routes.
  if (std::string text = routes.SerializeAsString();
      (any || text != routes_) && (!names.empty() || !routes_.empty())) {
    KATA_TRY(agent.UpdateRoutes(routes));
    routes_ = std::move(text);
  }
  const agent::ARPNeighbors neighbors = NeighborsFor(view);
  if (std::string text = neighbors.SerializeAsString(); any || text != neighbors_) {
    if (neighbors.arp_neighbors_size() > 0) KATA_TRY(agent.AddNeighbors(neighbors));
    neighbors_ = std::move(text);
  }
  return {};
}

Result<void> GuestNetwork::SyncOnce(hypervisor::Hypervisor& vm, agent::AgentClient& agent) {
  Phases phases;
  const network::NamespaceView view = KATA_TRY(Look());
  for (const std::string& note : view.notes) {
    if (std::ranges::find(notes_, note) == notes_.end()) log::Warn(note);
  }
  notes_ = view.notes;
  if (view.endpoints.empty() && nics_.empty()) return {};
  const network::Model model = view.endpoints.empty() ? options_.model : KATA_TRY(WorkingModel());
  std::vector<network::NicUse> uses;
  for (const GuestNic& nic : nics_)
    uses.push_back({.link = nic.connection ? nic.connection->link : 0});
  const network::NetworkPlan plan = network::PlanNetwork(view, uses, model);
  phases.End("discover");
  for (const size_t index : plan.release) LogIfFailed(Release(nics_[index], vm, agent));
  for (const network::NetworkPlan::Connect& step : plan.connect) {
    KATA_TRY(Connect(step, view.endpoints[step.endpoint], model, vm));
  }
  std::erase_if(nics_, [](const GuestNic& nic) { return nic.hot && !nic.connection; });
  ReleaseUnused(agent);
  phases.End("connect");
  KATA_TRY(Configure(view, agent));
  phases.End("configure_guest");
  if (!plan.empty()) phases.Log("network changed");
  return {};
}

void GuestNetwork::ReleaseUnused(agent::AgentClient& agent) {
  for (GuestNic& nic : nics_) {
    if (!std::exchange(nic.in_use, false) || nic.connection) continue;
    const auto released = agent.ReleaseInterface(sys::MacText(nic.mac));
    // It was not in use then either.
    if (!released && released.error().code() != Code::kNotFound) LogIfFailed(released);
  }
}

// Docker starts its name server together with the first network that wants one.
void GuestNetwork::RelayNames(agent::AgentClient& agent) {
  if (names_ || loop_ == nullptr || !NameRelay::ServerIsIn(served_)) return;
  if (!AllowsDockersNames(options_.egress)) return;
  auto started = NameRelay::Start(served_, agent, *loop_);
  if (!started) {
    log::Warn("no names of Docker's networks", {{"error", started.error().message()}});
    return;
  }
  names_ = *std::move(started);
}

void GuestNetwork::ShareNameAnswers() {
  if (!names_) return;
  for (GuestNic& nic : nics_) {
    if (!nic.connection || nic.connection->model != network::Model::kTcFilter || nic.shares_names)
      continue;
    if (nic.connection->tap == nic.connection->interface) continue;
    LogIfFailed(network::ShareNameAnswers(socket_, nic.connection->link, nic.tap.link));
    nic.shares_names = true;
  }
}

Result<void> GuestNetwork::Sync(hypervisor::Hypervisor& vm, agent::AgentClient& agent,
                                Deadline deadline) {
  if (!calls_.Begin(deadline)) {
    return Fail(Code::kDeadlineExceeded,
                "network: the guest does not answer about an earlier change");
  }
  const CallTurn turn(calls_);
  if (sys::DrainNetlinkEvents(events_.get())) dirty_ = true;
  if (options_.model == network::Model::kNone) return {};
  RelayNames(agent);
  if (settings_.Look(served_)) dirty_ = true;
  if (dirty_.exchange(false)) {
    auto synced = SyncOnce(vm, agent);
    // An interface may go while it is being connected; what is there then counts.
    if (!synced && HasVanished(synced.error())) synced = SyncOnce(vm, agent);
    if (!synced) {
      dirty_ = true;
      return std::unexpected(std::move(synced).error().Within("network"));
    }
  }
  ShareNameAnswers();
  if (outer_ && loop_ != nullptr) outer_->SharePorts(agent, *loop_);
  return {};
}

void GuestNetwork::ShareLoopback(agent::AgentClient& agent) {
  calls_.Begin();
  const CallTurn turn(calls_);
  // By sockets it leads there already.
  if (loopback_ || outer_ || loop_ == nullptr) return;
  auto door = LoopbackDoor::Start(served_, agent, *loop_);
  if (!door) {
    log::Warn("ports of the pod cannot be forwarded", {{"error", door.error().message()}});
    return;
  }
  loopback_ = *std::move(door);
}

void GuestNetwork::Close() {
  std::shared_ptr<NameRelay> names;
  std::shared_ptr<LoopbackDoor> loopback;
  {
    calls_.Begin();
    const CallTurn turn(calls_);
    names = std::exchange(names_, nullptr);
    loopback = std::exchange(loopback_, nullptr);
    if (outer_) outer_->End();
  }
  if (names) names->Stop();
  if (loopback) loopback->Stop();
  if (loop_ != nullptr) {
    std::promise<void> removed;
    loop_->Post([&] {
      loop_->Remove(events_.get());
      if (timer_) loop_->Cancel(*timer_);
      removed.set_value();
    });
    removed.get_future().wait();
    loop_ = nullptr;
  }
  calls_.Begin();
  const CallTurn turn(calls_);
  if (test_.valid()) test_.wait();
  for (const GuestNic& nic : nics_) {
    if (nic.connection) LogIfFailed(network::Disconnect(socket_, *nic.connection));
  }
  nics_.clear();
}

}  // namespace kata::sandbox
