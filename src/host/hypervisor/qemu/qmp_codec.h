// SPDX-License-Identifier: Apache-2.0
//
// qemu/qmp_codec.h - QEMU's machine protocol: bytes in, messages out. No I/O.
//
// QEMU sends one JSON object a line. A QEMU that its guest has taken over may send anything, so
// lines are bounded and every field is checked before use.
// Basis: QEMU docs/interop/qmp-spec.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace kata::hypervisor::qemu {

struct QmpGreeting {
  int major = 0;
  int minor = 0;
  int micro = 0;
};

// The answer to the command that carried `id`.
struct QmpReturn {
  uint64_t id = 0;
  nlohmann::json value;
};

struct QmpError {
  uint64_t id = 0;
  std::string error_class;  // "GenericError", "CommandNotFound", "DeviceNotFound", ...
  std::string description;
};

struct QmpEvent {
  std::string name;
  nlohmann::json data;  // an object, empty where the event has none
};

using QmpMessage = std::variant<QmpGreeting, QmpReturn, QmpError, QmpEvent>;

class QmpCodec {
 public:
  // query-hotpluggable-cpus with 255 CPUs answers about 60 KiB.
  static constexpr size_t kMaxLine = 1 << 20;

  // Takes the next bytes of the stream; the messages that they complete. After an error the stream
  // is beyond repair.
  // Errors  kOutOfRange  a line longer than kMaxLine
  //         kDataLoss    not JSON, or no message of this protocol
  Result<std::vector<QmpMessage>> Feed(std::string_view bytes);

  // The line that sends a command, newline included.
  static std::string Encode(uint64_t id, std::string_view command, const nlohmann::json& arguments);

 private:
  std::string pending_;
};

}  // namespace kata::hypervisor::qemu
