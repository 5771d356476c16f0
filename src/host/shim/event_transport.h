// SPDX-License-Identifier: Apache-2.0
//
// host/shim/event_transport.h - the two ways to containerd's event service.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "proto/events.pb.h"
#include "sys/event_loop.h"

namespace kata::shim {

// Carries one event at a time. Everything happens on the loop's thread.
class EventTransport {
 public:
  // Called exactly once for every Send(), never from within it, unless the transport is destroyed
  // before.
  // Errors  kUnavailable      containerd is not there, or does not answer: try again later
  //         any other code    containerd has refused the event
  using Done = std::move_only_function<void(Result<void>)>;

  virtual ~EventTransport() = default;
  // Only after the last call's Done.
  virtual void Send(const events::Envelope& envelope, Done done) = 0;
};

// ttrpc to the socket `address` ("unix://" in front is allowed), Events.Forward. The connection is
// kept and made anew when it has broken.
std::unique_ptr<EventTransport> MakeTtrpcTransport(sys::EventLoop& loop, std::string address);

// Runs `binary --address <address> publish --topic <topic> --namespace <namespace>` for every
// event, which goes to its stdin as an Any.
std::unique_ptr<EventTransport> MakeBinaryTransport(sys::EventLoop& loop, std::string binary,
                                                    std::string address);

}  // namespace kata::shim
