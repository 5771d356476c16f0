// SPDX-License-Identifier: Apache-2.0
#include "host/network/connection.h"

#include <linux/if.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "sys/netns.h"
#include "sys/tap.h"
#include "sys/traffic_control.h"

namespace kata::network {
namespace {

bool IsTap(const Endpoint& endpoint) {
  return endpoint.link.kind == "tun" && endpoint.link.sub_kind == "tap";
}

std::unexpected<Error> HasHook(const std::string& name) {
  return Fail(Code::kFailedPrecondition,
              fmt::format("interface \"{}\" has an ingress qdisc already, which is not ours; "
                          "choose internetworking_model = \"macvtap\"",
                          name));
}

Result<void> AddHook(sys::NetlinkSocket& socket, const std::string& name, int link) {
  auto added = sys::AddIngressQdisc(socket, link);
  if (added) return added;
  if (added.error().code() == Code::kAlreadyExists) return HasHook(name);
  return std::unexpected(
      std::move(added).error().Within(fmt::format("ingress qdisc of interface \"{}\"", name)));
}

Result<void> RedirectBothWays(sys::NetlinkSocket& socket, const Endpoint& endpoint,
                              const Tap& tap) {
  Rollback undo;
  KATA_TRY(sys::ChangeLink(socket, tap.link, {.mtu = endpoint.link.mtu}));
  KATA_TRY(AddHook(socket, endpoint.link.name, endpoint.link.index));
  undo.Add([&] { LogIfFailed(sys::DeleteIngressQdisc(socket, endpoint.link.index)); });
  // A guard of the tap has its hooks already, and stays.
  const bool made =
      KATA_TRY_WITHIN(fmt::format("tap \"{}\"", tap.name), sys::EnsureHooks(socket, tap.link));
  if (made) undo.Add([&] { LogIfFailed(sys::DeleteHooks(socket, tap.link)); });
  KATA_TRY_WITHIN("redirect", sys::RedirectIngress(socket, endpoint.link.index, tap.link));
  KATA_TRY_WITHIN("redirect", sys::RedirectIngress(socket, tap.link, endpoint.link.index));
  undo.Release();
  return {};
}

Result<Tap> MakeMacvtapOn(int ns, sys::NetlinkSocket& socket, const Endpoint& endpoint,
                          const std::string& name, uint32_t queues) {
  KATA_TRY_WITHIN(fmt::format("macvtap on interface \"{}\"", endpoint.link.name),
                  sys::AddMacvtap(socket, name, endpoint.link.index));
  const sys::Link link = KATA_TRY(sys::FindLink(socket, name));
  Rollback undo;
  undo.Add([&socket, &link] { LogIfFailed(sys::DeleteLink(socket, link.index)); });
  KATA_TRY(sys::ChangeLink(socket, link.index, {.up = true}));
  Tap tap{.name = name, .link = link.index, .fds = {}};
  tap.fds = KATA_TRY(sys::RunInNetns(ns, [&] { return sys::OpenMacvtap(name, queues); }));
  undo.Release();
  return tap;
}

}  // namespace

Result<Tap> MakeSpareTap(int ns, sys::NetlinkSocket& socket, const std::string& name,
                         uint32_t queues) {
  Tap tap{.name = name, .link = 0, .fds = {}};
  tap.fds = KATA_TRY(sys::RunInNetns(ns, [&] { return sys::MakeTap(name, queues); }));
  tap.link = KATA_TRY(sys::FindLink(socket, name)).index;
  KATA_TRY(sys::ChangeLink(socket, tap.link, {.up = true}));
  return tap;
}

bool TakesSpareTap(Model model, const Endpoint& endpoint) {
  return model == Model::kSockets || (model == Model::kTcFilter && !IsTap(endpoint));
}

Result<Tap> MakeTapFor(Model model, int ns, sys::NetlinkSocket& socket, const Endpoint& endpoint,
                       const std::string& name, uint32_t queues) {
  if (IsTap(endpoint) && model != Model::kSockets) {
    Tap tap{.name = endpoint.link.name, .link = endpoint.link.index, .fds = {}};
    tap.fds =
        KATA_TRY(sys::RunInNetns(ns, [&] { return sys::OpenTap(endpoint.link.name, 1, false); }));
    return tap;
  }
  if (model == Model::kMacvtap) return MakeMacvtapOn(ns, socket, endpoint, name, queues);
  return MakeSpareTap(ns, socket, name, queues);
}

Result<void> CheckFree(Model model, sys::NetlinkSocket& socket, const Endpoint& endpoint) {
  if (model == Model::kSockets || !TakesSpareTap(model, endpoint)) return {};
  const bool taken = KATA_TRY_WITHIN(fmt::format("look at interface \"{}\"", endpoint.link.name),
                                     sys::HasIngressQdisc(socket, endpoint.link.index));
  if (taken) return HasHook(endpoint.link.name);
  return {};
}

Result<void> Connect(Model model, sys::NetlinkSocket& socket, const Endpoint& endpoint,
                     const Tap& tap) {
  if (model == Model::kSockets || !TakesSpareTap(model, endpoint)) return {};
  KATA_TRY_WITHIN(fmt::format("connect interface \"{}\"", endpoint.link.name),
                  RedirectBothWays(socket, endpoint, tap));
  return {};
}

Result<void> Disconnect(sys::NetlinkSocket& socket, const Connection& connection) {
  if (connection.model == Model::kSockets) return {};
  const std::vector<sys::Link> links = KATA_TRY(sys::ListLinks(socket));
  const auto tap = std::ranges::find(links, connection.tap, &sys::Link::name);
  if (connection.model == Model::kMacvtap) {
    if (tap == links.end() || tap->kind != "macvtap") return {};
    return sys::DeleteLink(socket, tap->index);
  }
  if (connection.tap == connection.interface) return {};
  // Where there is none, all is well; one of somebody else's is never there beside ours.
  if (tap != links.end()) (void)sys::DeleteHooks(socket, tap->index);
  const auto link = std::ranges::find(links, connection.link, &sys::Link::index);
  if (link == links.end()) return {};
  auto deleted = sys::DeleteIngressQdisc(socket, link->index);
  const bool gone = !deleted && (deleted.error().code() == Code::kNotFound ||
                                 deleted.error().code() == Code::kInvalidArgument);
  if (gone) return {};
  return deleted;
}

}  // namespace kata::network
