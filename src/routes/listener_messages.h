// SPDX-License-Identifier: Apache-2.0
//
// routes/listener_messages.h - sockets that listen, in the words of proto/guest.proto.
#pragma once

#include <vector>

#include "proto/guest.pb.h"
#include "sys/socket_address.h"

namespace kata::routes {

// What is no address with a port is left out.
std::vector<sys::SocketAddress> ReadListeners(const guest::Listeners& listeners);
guest::Listeners WriteListeners(const std::vector<sys::SocketAddress>& listeners);

}  // namespace kata::routes
