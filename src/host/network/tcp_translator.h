// SPDX-License-Identifier: Apache-2.0
//
// host/network/tcp_translator.h - a guest's TCP connections as connections of another namespace.
//
// A guest's first segment waits until the socket that stands for the guest has got its own answer:
// what is refused out there is refused to the guest, and what does not answer does not answer. Then
// the segment goes on to the kernel of the inner namespace, which speaks TCP with the guest.
// Lives on the event loop's thread.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "host/network/connection_request.h"
#include "host/network/service_view.h"
#include "host/network/two_namespaces.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/socket_address.h"
#include "sys/stream_relay.h"

namespace kata::network {

struct TcpSockets {
  sys::UniqueFd requests;   // a tap, to which the guest's first segments are led
  sys::UniqueFd link;       // a packet socket on the machine's tap, for refusals
  sys::UniqueFd listener4;  // get what the kernel of the inner namespace has accepted
  sys::UniqueFd listener6;  // may be missing
};

class TcpTranslator {
 public:
  // More connections than `most` at a time are refused. `services` are those of the outer
  // namespace, as they are then.
  TcpTranslator(sys::EventLoop& loop, TcpSockets sockets, const Services& services, size_t most);
  TcpTranslator(const TcpTranslator&) = delete;
  TcpTranslator& operator=(const TcpTranslator&) = delete;
  ~TcpTranslator();

  Result<void> Start();

  // Relays between two connections until both have said all.
  void Relay(sys::UniqueFd one, sys::UniqueFd other);

 private:
  using Key = std::pair<sys::SocketAddress, sys::SocketAddress>;  // the guest's, the wanted one
  struct Pending {
    sys::UniqueFd outer;
    ConnectionRequest request;
    std::string frame;  // with its virtio header
    bool connected = false;
    sys::EventLoop::TimerId timer;
  };

  void OnRequests();
  void OnRequest(std::string_view frame);
  Result<sys::UniqueFd> Connect(const ConnectionRequest& request);
  void OnConnected(const Key& key);
  void Accept(int listener);
  void Forward(const std::string& frame);
  void Refuse(std::string_view frame, const ConnectionRequest& request);
  void Forget(const Key& key);

  sys::EventLoop& loop_;
  TcpSockets sockets_;
  const Services& services_;
  const size_t most_;
  std::map<Key, Pending> pending_;
  std::list<sys::StreamRelay> relays_;
};

}  // namespace kata::network
