// SPDX-License-Identifier: Apache-2.0
#include "host/network/model.h"

#include <linux/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netpacket/packet.h>

#include "base/log.h"
#include "host/network/connection.h"
#include "sys/netns.h"
#include "sys/rtnetlink.h"

namespace kata::network {
namespace {

constexpr std::array<std::pair<Model, std::string_view>, 4> kNames{{{Model::kTcFilter, "tcfilter"},
                                                                    {Model::kMacvtap, "macvtap"},
                                                                    {Model::kSockets, "socket"},
                                                                    {Model::kNone, "none"}}};

// Of IEEE 802, for experiments.
constexpr uint16_t kProtocol = 0x88b5;
constexpr size_t kVirtioHeader = 10;
constexpr size_t kEthernetHeader = 14;
constexpr auto kPatience = std::chrono::milliseconds(500);

std::string Frame() {
  std::string frame(60, '\0');
  frame.replace(0, kEthernetHeader,
                std::string("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5", 14));
  frame.replace(kEthernetHeader, 4, "kata");
  return frame;
}

Result<sys::UniqueFd> OpenPacketSocket(int link) {
  sys::UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kProtocol)));
  if (!fd) return FailErrno("socket", "packet");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(kProtocol);
  address.sll_ifindex = link;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("bind", "packet");
  }
  return fd;
}

Result<void> Send(int fd, const std::string& frame) {
  if (::write(fd, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size())) {
    return FailErrno("send a frame");
  }
  return {};
}

// Reads until the frame of the test has come; other ones are the kernel's own.
Result<void> Await(int fd, size_t header, std::string_view direction) {
  const Deadline deadline = Deadline::After(kPatience);
  const std::string wanted = Frame();
  std::string buffer(2048, '\0');
  for (;;) {
    if (!sys::WaitFor(fd, POLLIN, deadline)) {
      return Fail(Code::kUnavailable, fmt::format("no frame arrives {} the machine", direction));
    }
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0) return FailErrno("read a frame");
    const std::string_view got(buffer.data(), static_cast<size_t>(size));
    if (got.size() >= header && got.substr(header).starts_with(wanted)) return {};
  }
}

Result<void> TestInside(Model model, int ns) {
  constexpr const char* kNear = "near";
  constexpr const char* kFar = "far";
  sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
  KATA_TRY(sys::AddVethPair(socket, kNear, kFar));
  const sys::Link far = KATA_TRY(sys::FindLink(socket, kFar));
  KATA_TRY(sys::ChangeLink(socket, far.index, {.up = true}));
  const Endpoint endpoint{
      .link = KATA_TRY(sys::FindLink(socket, kNear)), .addresses = {}, .neighbors = {}};
  KATA_TRY(sys::ChangeLink(socket, endpoint.link.index, {.up = true}));
  const Tap tap = KATA_TRY(MakeTapFor(model, ns, socket, endpoint, TapName(0), 1));
  KATA_TRY(Connect(model, socket, endpoint, tap));
  const sys::UniqueFd outside = KATA_TRY(OpenPacketSocket(far.index));
  KATA_TRY(Send(tap.fds[0].get(), std::string(kVirtioHeader, '\0') + Frame()));
  KATA_TRY(Await(outside.get(), 0, "from"));
  KATA_TRY(Send(outside.get(), Frame()));
  return Await(tap.fds[0].get(), kVirtioHeader, "at");
}

}  // namespace

std::string_view ModelName(Model model) {
  return std::ranges::find(kNames, model, [](const auto& each) { return each.first; })->second;
}

Result<Model> ModelByName(std::string_view name) {
  for (const auto& [model, text] : kNames) {
    if (text == name) return model;
  }
  return Fail(Code::kInvalidArgument, fmt::format("no network model is called \"{}\"", name));
}

Result<void> TestModel(Model model) {
  if (model == Model::kNone || model == Model::kSockets) return {};
  const sys::UniqueFd ns = KATA_TRY(sys::MakeNetworkNamespace());
  return sys::RunInNetns(ns.get(), [&] { return TestInside(model, ns.get()); });
}

Result<Model> FirstWorkingModel(Model wanted) {
  std::string reasons;
  for (const Model model : {wanted, Model::kTcFilter, Model::kMacvtap}) {
    if (model == wanted && !reasons.empty()) continue;
    const auto tested = TestModel(model);
    if (tested) return model;
    log::Warn("a network model does not work on this host",
              {{"model", ModelName(model)}, {"error", tested.error().message()}});
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", ModelName(model),
                           tested.error().message());
  }
  return Fail(Code::kUnavailable, fmt::format("no network model works on this host: {}", reasons));
}

}  // namespace kata::network
