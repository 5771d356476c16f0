// SPDX-License-Identifier: Apache-2.0
//
// sys/loopback_stand_ins.h - addresses for the loopbacks of a host and its guest, between the two.
//
// A packet with an address of a loopback goes nowhere. Nobody else has these (RFC 7335).
#pragma once

namespace kata::sys {

inline constexpr const char* kHostLoopback = "192.0.0.7";
inline constexpr const char* kGuestLoopback = "192.0.0.6";

}  // namespace kata::sys
