// SPDX-License-Identifier: Apache-2.0
#include "host/network/translator.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "host/network/inner_namespace.h"
#include "host/network/service_view.h"
#include "sys/event_loop.h"
#include "sys/listeners.h"
#include "sys/open_file_limit.h"
#include "sys/port_doors.h"

namespace kata::network {

namespace {

constexpr size_t kDescriptors = 32768;
// Two descriptors a connection of three kinds, and as much for all else.
constexpr size_t kShares = 8;
// The kernel does not tell of sockets that begin to listen.
constexpr auto kLookForServices = std::chrono::milliseconds(200);

}  // namespace

struct Translator::Parts {
  // `most`: of each kind of connection.
  Parts(std::unique_ptr<sys::EventLoop> made, TranslatorSetting& setting, InnerSockets sockets,
        size_t most)
      : loop(std::move(made)),
        namespaces(std::move(setting.inner), std::move(setting.outer)),
        steering(std::move(sockets.steering)),
        services{.ports = {}, .egress = std::move(setting.egress)},
        tcp(*loop, std::move(sockets.tcp), services, most),
        udp(
            *loop, namespaces, std::move(sockets.udp), services,
            [this](const auto& from, const auto& to, std::span<const char> data) {
              return doors.SendFrom(from, to, data);
            },
            most),
        echo(*loop, std::move(sockets.echo)),
        doors(
            *loop,
            {.bind = &sys::BindDoor,
             .connect =
                 [this](const sys::Listener& at, const sys::SocketAddress& peer,
                        const sys::SocketAddress& local) { return ConnectGuest(at, peer, local); },
             .failed =
                 [](const sys::Listener& at, const Error& error) {
                   log::Warn("a port of the guest cannot be the host's",
                             {{"port", at.Text()}, {"error", error.message()}});
                 }},
            most) {}

  // On the thread, before all else of it.
  Result<void> Begin() {
    KATA_TRY(namespaces.Enter());
    table = KATA_TRY(sys::ListenerTable::Open());
    KATA_TRY(tcp.Start());
    KATA_TRY(udp.Start());
    return echo.Start();
  }

  Result<sys::UniqueFd> ConnectGuest(const sys::Listener& at, const sys::SocketAddress& peer,
                                     const sys::SocketAddress& local) const;
  void Show(const std::vector<sys::ReachedListener>& listeners);
  void LookForServices();

  const std::unique_ptr<sys::EventLoop> loop;
  const TwoNamespaces namespaces;
  const sys::UniqueFd steering;
  Services services;
  TcpTranslator tcp;
  UdpTranslator udp;
  EchoTranslator echo;
  std::map<sys::Listener, uint16_t> behind_doors;  // ports of the guest's stand-in, or 0
  sys::PortDoors doors;
  std::optional<sys::ListenerTable> table;
  std::optional<std::vector<sys::Listener>> shown;  // services, to the guest
  std::function<void(std::vector<sys::ReachedListener>)> services_changed;
  std::thread thread;
};

// The guest sees who has connected.
Result<sys::UniqueFd> Translator::Parts::ConnectGuest(const sys::Listener& at,
                                                      const sys::SocketAddress& peer,
                                                      const sys::SocketAddress& local) const {
  const auto found = behind_doors.find(at);
  const GuestEnds ends = EndsInGuest(peer, local, found == behind_doors.end() ? 0 : found->second);
  return namespaces.Inside([&]() -> Result<sys::UniqueFd> {
    if (at.protocol == sys::Protocol::kUdp) {
      return UdpTranslator::ConnectInner(ends.from, ends.to);
    }
    sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(ends.to.address.family, SOCK_STREAM));
    KATA_TRY(sys::SetTransparent(socket.get(), ends.to.address.family));
    KATA_TRY(sys::BindToListen(socket.get(), ends.from));
    auto connected = sys::Connect(socket.get(), ends.to);
    if (!connected && connected.error().error_number() != EINPROGRESS) {
      return std::unexpected(std::move(connected).error());
    }
    return socket;
  });
}

void Translator::Parts::Show(const std::vector<sys::ReachedListener>& listeners) {
  std::vector<sys::Listener> wanted;
  behind_doors.clear();
  for (const sys::ReachedListener& each : listeners) {
    wanted.push_back(each.listener);
    if (each.through == 0) continue;
    for (const sys::Listener& door : DoorsFor({each.listener})) {
      behind_doors.emplace(door, each.through);
    }
  }
  doors.Keep(DoorsFor(std::move(wanted)));
}

void Translator::Parts::LookForServices() {
  std::vector<sys::Listener> now = table->Read();
  std::erase_if(now, [&](const sys::Listener& each) { return doors.Has(each); });
  now = DoorsFor(ServicesOf(now));
  if (now != shown) {
    services_changed(services.ports.Assign(now));
    shown = std::move(now);
  }
  // Who had a port of the guest's may have gone.
  doors.TryAgain();
  loop->RunAfter(kLookForServices, [this] { LookForServices(); });
}

Translator::Translator(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

// The thread is in another network namespace than others of this process.
Result<void> Translator::Begin() {
  std::promise<Result<void>> begun;
  parts_->thread = std::thread([this, &begun] {
    auto result = parts_->Begin();
    const bool runs = result.has_value();
    begun.set_value(std::move(result));
    if (runs) LogIfFailed(parts_->loop->Run());
  });
  return begun.get_future().get();
}

Translator::~Translator() {
  parts_->loop->Stop();
  parts_->thread.join();
}

void Translator::ShowListeners(std::vector<sys::ReachedListener> listeners) {
  parts_->loop->Post(
      [parts = parts_.get(), listeners = std::move(listeners)] { parts->Show(listeners); });
}

void Translator::FollowServices(std::function<void(std::vector<sys::ReachedListener>)> changed) {
  parts_->loop->Post([parts = parts_.get(), changed = std::move(changed)]() mutable {
    parts->services_changed = std::move(changed);
    parts->LookForServices();
  });
}

Result<std::unique_ptr<Translator>> Translator::Start(TranslatorSetting setting,
                                                      sys::NetlinkSocket& socket) {
  InnerSockets sockets =
      KATA_TRY(MakeInner(setting.inner.get(), socket, setting.tap, setting.mac, setting.mtu));
  auto loop = KATA_TRY(sys::EventLoop::Create());
  const size_t most = std::max<size_t>(1, sys::RaiseOpenFileLimit(kDescriptors) / kShares);
  auto parts = std::make_unique<Parts>(std::move(loop), setting, std::move(sockets), most);
  std::unique_ptr<Translator> translator(new Translator(std::move(parts)));
  KATA_TRY(translator->Begin());
  return translator;
}

}  // namespace kata::network
