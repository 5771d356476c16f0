// SPDX-License-Identifier: Apache-2.0
//
// The NICs that a machine begins with.
#include <fcntl.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/machine/guest_network.h"
#include "sys/files.h"
#include "sys/tap.h"

namespace kata::sandbox {
namespace {

constexpr size_t kMostNicsAtBoot = 4;
constexpr const char* kVhostDevice = "/dev/vhost-net";

}  // namespace

// An endpoint's own address makes an agent find it that knows nothing else; but no two NICs may
// have the same.
sys::MacAddress GuestNetwork::FreeMac(const sys::MacAddress& wanted) const {
  const bool taken =
      std::ranges::any_of(nics_, [&](const GuestNic& nic) { return nic.mac == wanted; });
  return taken || wanted == sys::MacAddress{} || (wanted[0] & 1) != 0 ? sys::RandomMac() : wanted;
}

Result<hypervisor::Nic> GuestNetwork::DeviceOf(GuestNic& nic) {
  hypervisor::Nic device;
  device.id = nic.id;
  device.mac = nic.mac;
  device.tap = nic.tap.name;
  device.tap_fds = std::move(nic.tap.fds);
  if (options_.vhost && sys::Exists(kVhostDevice)) {
    for (size_t queue = 0; queue < device.tap_fds.size(); ++queue) {
      device.vhost_fds.push_back(KATA_TRY(sys::Open(kVhostDevice, O_RDWR)));
    }
  }
  return device;
}

Result<hypervisor::Nic> GuestNetwork::Furnish(GuestNic& nic, const std::string& tap,
                                              uint32_t queues) {
  nic.tap = KATA_TRY(network::MakeSpareTap(namespace_.get(), socket_, tap, queues));
  KATA_TRY(Guard(nic.tap, network::Model::kTcFilter));
  // In a namespace of our own, which goes with the machine: that is quicker than to remove it.
  if (IsNamespaceOurs()) {
    KATA_TRY(sys::KeepTap(nic.tap.fds.front().get(), true));
    nic.kept = KATA_TRY(sys::Duplicate(nic.tap.fds.front().get()));
  }
  return DeviceOf(nic);
}

Result<std::vector<hypervisor::Nic>> GuestNetwork::MakeSavedNics(
    const network::NamespaceView& view) {
  std::vector<hypervisor::Nic> nics;
  int number = 0;
  for (const SavedNic& saved : *options_.saved) {
    while (std::ranges::find(view.names, network::TapName(number)) != view.names.end()) ++number;
    GuestNic nic{.id = saved.id, .mac = saved.mac, .in_use = true};
    auto device = KATA_TRY(Furnish(nic, network::TapName(number++), saved.queues));
    device.place = saved.port;
    nics.push_back(std::move(device));
    nics_.push_back(std::move(nic));
  }
  // No later one may have the name of one of these.
  constexpr int kAboveAll = 1000;
  next_nic_ = kAboveAll;
  BeginTest(view);
  return nics;
}

Result<std::vector<hypervisor::Nic>> GuestNetwork::MakeNics(const Options& options, Save save) {
  calls_.Begin();
  const CallTurn turn(calls_);
  std::vector<hypervisor::Nic> nics;
  const network::NamespaceView view = KATA_TRY(Begin(options, std::move(save)));
  if (options_.saved) return MakeSavedNics(view);
  size_t count = network::NicsAtBoot(view, options_.model, kMostNicsAtBoot);
  if (options_.of_template) {
    count = std::max(count, network::NicsAtBoot({}, options_.model, kMostNicsAtBoot));
  }
  std::vector<sys::MacAddress> macs;
  for (const network::Endpoint& endpoint : view.endpoints) {
    if (network::TakesSpareTap(options_.model, endpoint)) macs.push_back(endpoint.link.mac);
  }
  for (int number = 0; nics.size() < count; ++number) {
    const std::string name = network::TapName(number);
    if (std::ranges::find(view.names, name) != view.names.end()) continue;
    GuestNic nic{.id = fmt::format("net{}", next_nic_++)};
    nic.mac = options_.of_template && nics.empty()
                  ? kTemplateMac
                  : FreeMac(nics.size() < macs.size() ? macs[nics.size()] : sys::MacAddress{});
    auto device = Furnish(nic, name, options_.queues);
    if (!device && view.endpoints.empty() && !options_.of_template && !guard_) {
      // Who has no network, and never gets one, need not have taps.
      log::Warn("no NIC waits for a network", {{"error", device.error().message()}});
      return nics;
    }
    nics.push_back(KATA_TRY(std::move(device)));
    nics_.push_back(std::move(nic));
  }
  BeginTest(view);
  return nics;
}

Result<void> GuestNetwork::TakeNic(GuestNetwork& from, const Options& options, Save save) {
  calls_.Begin();
  const CallTurn turn(calls_);
  from.calls_.Begin();
  const CallTurn turn_of_other(from.calls_);
  const network::NamespaceView view = KATA_TRY(Begin(options, std::move(save)));
  if (!from.nics_.empty()) {
    GuestNic nic = std::move(from.nics_.front());
    from.nics_.clear();
    int number = 0;
    while (std::ranges::find(view.names, network::TapName(number)) != view.names.end()) ++number;
    const std::string name = network::TapName(number);
    KATA_TRY(sys::ChangeLink(from.socket_, nic.tap.link,
                             {.name = name, .up = false, .namespace_fd = namespace_.get()}));
    KATA_TRY(sys::KeepTap(nic.kept.get(), false));
    nic.kept.Reset();
    nic.tap.name = name;
    nic.tap.link = KATA_TRY(sys::FindLink(socket_, name)).index;
    KATA_TRY(Guard(nic.tap, network::Model::kTcFilter));
    KATA_TRY(sys::ChangeLink(socket_, nic.tap.link, {.up = true}));
    nics_.push_back(std::move(nic));
    next_nic_ = from.next_nic_;
  }
  BeginTest(view);
  return {};
}

}  // namespace kata::sandbox
