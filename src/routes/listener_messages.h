// SPDX-License-Identifier: Apache-2.0
//
// routes/listener_messages.h - sockets that wait for others, in the words of proto/guest.proto.
#pragma once

#include <vector>

#include "proto/guest.pb.h"
#include "sys/loopback_stand_ins.h"

namespace kata::routes {

// What is no address with a port is left out.
std::vector<sys::ReachedListener> ReadListeners(const guest::Listeners& listeners);
guest::Listeners WriteListeners(const std::vector<sys::ReachedListener>& listeners);

}  // namespace kata::routes
