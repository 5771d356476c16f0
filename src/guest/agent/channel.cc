// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/channel.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::guest {
namespace {

std::optional<uint32_t> ParsePort(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<Address> ParseVsock(std::string_view rest) {
  const size_t colon = rest.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view cid_text = rest.substr(0, colon);
    const auto cid = cid_text == "-1" ? sys::kVsockAnyCid : ParsePort(cid_text);
    const auto port = ParsePort(rest.substr(colon + 1));
    if (cid && port) return VsockAddress{*cid, *port};
  }
  return Fail(Code::kInvalidArgument, fmt::format("vsock address \"{}\": not <cid>:<port>", rest));
}

// The device node of the port called `name`, such as /dev/vport0p1.
std::optional<std::string> FindPort(std::string_view name) {
  constexpr const char* kPorts = "/sys/class/virtio-ports";
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(kPorts), ::closedir);
  if (!dir) return std::nullopt;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    constexpr size_t kMaxName = 4096;
    auto found = sys::ReadFile(fmt::format("{}/{}/name", kPorts, entry->d_name), kMaxName);
    if (!found) continue;
    while (!found->empty() && found->back() == '\n') found->pop_back();
    if (*found == name) return fmt::format("/dev/{}", entry->d_name);
  }
  return std::nullopt;
}

// Reads away what a client left behind that broke off in the middle of a frame.
void Drain(int fd) {
  std::array<char, 4096> rest;
  constexpr int kMaxRounds = 1024;
  for (int i = 0; i < kMaxRounds && ::read(fd, rest.data(), rest.size()) > 0; ++i) {
  }
}

}  // namespace

Result<Address> ParseAddress(std::string_view text) {
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) {
    return Fail(Code::kInvalidArgument, fmt::format("address \"{}\": no scheme", text));
  }
  const std::string_view scheme = text.substr(0, scheme_end);
  const std::string_view rest = text.substr(scheme_end + 3);
  if (scheme == "vsock") return ParseVsock(rest);
  if (scheme == "virtio-serial" && !rest.empty()) return VirtioPortAddress{std::string(rest)};
  if (scheme == "unix" && !rest.empty()) return UnixAddress{std::string(rest)};
  return Fail(Code::kInvalidArgument,
              fmt::format("address \"{}\": use vsock://, virtio-serial:// or unix://", text));
}

VirtioPort::VirtioPort(sys::EventLoop& loop, ttrpc::Server& server, std::string name)
    : loop_(loop), server_(server), name_(std::move(name)) {
  Find();
}

VirtioPort::~VirtioPort() {
  *alive_ = false;
  loop_.Remove(port_.get());
}

void VirtioPort::Find() {
  if (const auto path = FindPort(name_)) {
    auto opened = sys::Open(*path, O_RDWR | O_NONBLOCK);
    if (opened) {
      port_ = std::move(*opened);
      log::Info("agent channel", {{"port", name_}, {"device", *path}});
      return AwaitHost();
    }
    log::Warn("agent channel", {{"error", opened.error().message()}});
  }
  // A port's name arrives in a control message some time after its driver is there.
  constexpr std::chrono::milliseconds kMaxPause{4096};
  if (pause_ > kMaxPause) return log::Info("no virtio-serial port", {{"name", name_}});
  loop_.RunAfter(pause_, [this, alive = alive_] {
    if (*alive) Find();
  });
  pause_ *= 2;
}

void VirtioPort::AwaitHost() {
  // EPOLLHUP cannot be masked, so only an edge-triggered watch is silent while the host is away.
  // Each change of the host's side wakes it.
  const auto added = loop_.Add(port_.get(), EPOLLIN | EPOLLOUT | EPOLLET, [this](uint32_t events) {
    if (events & EPOLLHUP) return;
    loop_.Remove(port_.get());
    Serve();
  });
  if (!added) log::Error("agent channel", {{"error", added.error().message()}});
}

void VirtioPort::Serve() {
  auto connection = sys::Duplicate(port_.get());
  Result<void> served;
  if (connection) {
    served = server_.Serve(std::move(*connection), [this, alive = alive_] {
      if (!*alive) return;
      log::Info("the host has left the agent channel");
      Drain(port_.get());
      AwaitHost();
    });
  } else {
    served = std::unexpected(std::move(connection).error());
  }
  if (!served) log::Error("agent channel", {{"error", served.error().message()}});
}

Result<std::unique_ptr<Channel>> Channel::Open(sys::EventLoop& loop, ttrpc::Server& server,
                                               std::string_view address) {
  auto channel = std::make_unique<Channel>();
  if (address.empty()) {
    if (auto listener = sys::ListenVsock(sys::kVsockAnyCid, kAgentPort)) {
      KATA_TRY(server.Listen(std::move(*listener)));
    } else {
      log::Debug("no vsock", {{"error", listener.error().message()}});
    }
    channel->port_ = std::make_unique<VirtioPort>(loop, server, std::string(kAgentPortName));
    return channel;
  }
  const Address parsed = KATA_TRY(ParseAddress(address));
  if (const auto* vsock = std::get_if<VsockAddress>(&parsed)) {
    sys::UniqueFd listener = KATA_TRY(sys::ListenVsock(vsock->cid, vsock->port));
    KATA_TRY(server.Listen(std::move(listener)));
  } else if (const auto* unix = std::get_if<UnixAddress>(&parsed)) {
    sys::UniqueFd listener = KATA_TRY(sys::ListenUnix(unix->path));
    KATA_TRY(server.Listen(std::move(listener)));
  } else {
    channel->port_ =
        std::make_unique<VirtioPort>(loop, server, std::get<VirtioPortAddress>(parsed).name);
  }
  return channel;
}

}  // namespace kata::guest
