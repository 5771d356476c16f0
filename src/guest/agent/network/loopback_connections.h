// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/loopback_connections.h - TCP connections of the host's to the containers'
// loopback.
//
// Somebody on the host connects to the loopback of the pod's network namespace there, as containerd
// does to forward a port; who listens is here. The host names each connection by a number of its
// own, and reads and writes it by calls. The loop's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "guest/agent/stream.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/socket_address.h"

namespace kata::guest {

class LoopbackConnections {
 public:
  using Done = std::move_only_function<void(Result<void>)>;
  // A socket of the containers' namespace (sys::MakeIpSocket).
  using MakeSocket = std::function<Result<sys::UniqueFd>(int family)>;

  static constexpr size_t kMost = 256;

  explicit LoopbackConnections(sys::EventLoop& loop, size_t most = kMost);
  LoopbackConnections(const LoopbackConnections&) = delete;
  LoopbackConnections& operator=(const LoopbackConnections&) = delete;
  ~LoopbackConnections();

  // To the port of ::1 or of 127.0.0.1, and where nobody listens there, of the other one.
  // Errors  kUnavailable        nobody listens
  //         kAlreadyExists      the number is taken
  //         kResourceExhausted  there are `most`
  //         kAborted            it was closed meanwhile
  void Open(uint64_t id, uint16_t port, bool ipv6, MakeSocket make, Done done);
  // As OutputStream::Read.
  // Errors  kNotFound
  void Read(uint64_t id, size_t limit, OutputStream::Wanted wanted, OutputStream::Done done);
  // `done` when all is written; empty data says that there is no more.
  // Errors  kNotFound; and those of InputStream::Write
  void Write(uint64_t id, std::string data, Done done);
  // Who waits for it is answered. Nothing where there is none.
  void Close(uint64_t id);
  void CloseAll();

 private:
  struct Connection;

  void Try(uint64_t id);
  void OnConnected(uint64_t id);
  void TryOther(uint64_t id, Error error);
  Result<void> Establish(Connection& connection);
  Result<Connection*> Find(uint64_t id);

  sys::EventLoop& loop_;
  const size_t most_;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
};

}  // namespace kata::guest
