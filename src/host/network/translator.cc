// SPDX-License-Identifier: Apache-2.0
#include "host/network/translator.h"

#include <optional>
#include <thread>
#include <utility>

#include "base/log.h"
#include "host/network/inner_namespace.h"
#include "sys/event_loop.h"

namespace kata::network {

struct Translator::Parts {
  Parts(std::unique_ptr<sys::EventLoop> made, TranslatorSetting& setting, InnerSockets sockets)
      : loop(std::move(made)),
        namespaces(std::move(setting.inner), std::move(setting.outer)),
        steering(std::move(sockets.steering)),
        tcp(*loop, namespaces, std::move(sockets.tcp), setting.loopback),
        udp(*loop, namespaces, std::move(sockets.udp), setting.loopback) {}

  // On the thread, until Stop().
  Result<void> Run() {
    KATA_TRY(namespaces.Enter());
    KATA_TRY(tcp.Start());
    KATA_TRY(udp.Start());
    return loop->Run();
  }

  const std::unique_ptr<sys::EventLoop> loop;
  const TwoNamespaces namespaces;
  const sys::UniqueFd steering;
  TcpTranslator tcp;
  UdpTranslator udp;
  std::thread thread;
};

Translator::Translator(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {
  parts_->thread = std::thread([parts = parts_.get()] { LogIfFailed(parts->Run()); });
}

Translator::~Translator() {
  parts_->loop->Stop();
  parts_->thread.join();
}

Result<std::unique_ptr<Translator>> Translator::Start(TranslatorSetting setting,
                                                      sys::NetlinkSocket& socket) {
  InnerSockets sockets =
      KATA_TRY(MakeInner(setting.inner.get(), socket, setting.tap, setting.mac, setting.mtu));
  auto loop = KATA_TRY(sys::EventLoop::Create());
  auto parts = std::make_unique<Parts>(std::move(loop), setting, std::move(sockets));
  return std::unique_ptr<Translator>(new Translator(std::move(parts)));
}

}  // namespace kata::network
