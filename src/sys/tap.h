// SPDX-License-Identifier: Apache-2.0
//
// sys/tap.h - network interfaces whose other end is a descriptor.
//
// All of it happens in the calling thread's network namespace; the descriptors are good everywhere.
// Frames come with a virtio header, so that offloads of a guest are kept.
// Basis: kernel Documentation/networking/tuntap.rst, drivers/net/tap.c.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// A new tap, down, that is gone when the last of its descriptors is closed; one a queue.
// Errors  kAlreadyExists    a link of this name is there
//         kNotFound         no /dev/net/tun; the message says what to do
//         kPermissionDenied CAP_NET_ADMIN is missing over the namespace
Result<std::vector<UniqueFd>> MakeTap(const std::string& name, uint32_t queues);

// Whether the tap behind `fd` outlives its descriptors, until its namespace goes. Closing the last
// descriptor of one that does not takes some 20 ms.
Result<void> KeepTap(int fd, bool on);

// Descriptors of a tap that somebody made to be used, one a queue.
// Errors  kUnavailable  somebody uses it
Result<std::vector<UniqueFd>> OpenTap(const std::string& name, uint32_t queues, bool multi_queue);

// Descriptors of the macvtap `name`, one a queue. No file of the host is needed or made: the
// calling thread enters a mount namespace of its own and must be one that ends after this.
Result<std::vector<UniqueFd>> OpenMacvtap(const std::string& name, uint32_t queues);

}  // namespace kata::sys
