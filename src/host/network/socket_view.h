// SPDX-License-Identifier: Apache-2.0
//
// host/network/socket_view.h - what a guest is given of a namespace that it uses by sockets.
#pragma once

#include "host/network/endpoints.h"

namespace kata::network {

// One interface, that of the default route where there is one, without neighbours (IFF_NOARP). It
// has every address of the namespace that is not for one link or host, and leads to everything that
// the namespace's main table leads to. Pure.
NamespaceView SocketViewOf(const NamespaceContents& contents);

}  // namespace kata::network
