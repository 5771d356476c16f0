// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/envelope.h - request and response frames and their bodies.
//
// The bytes are those of proto/ttrpc.proto. They are read and written here by hand, because the
// peer is hostile and payloads are large: a payload is copied once, a body costs no more memory
// than its own size, and text that is not UTF-8 is an error of the call instead of a line on
// standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace kata::ttrpc {

using Metadata = std::vector<std::pair<std::string, std::string>>;

// A request with more pairs does not parse.
inline constexpr size_t kMaxMetadata = 256;
// Longer messages of a status are cut on both sides, in bytes.
inline constexpr size_t kMaxStatusMessage = 64 << 10;

struct RequestBody {
  std::string service;
  std::string method;
  std::string payload;
  // Zero: no timeout. Negative: it has passed already.
  std::chrono::nanoseconds timeout{0};
  Metadata metadata;
};

std::optional<RequestBody> ParseRequest(std::string_view body);

// The payload, or the error in the status; a code that is not in kata::Code is kUnknown.
// Errors  kInternal  the body does not parse
Result<std::string> ParseResponse(std::string_view body);

// The functions below return whole frames, header included. What they are given together stays
// below 4 GiB.

std::string EncodeRequest(uint32_t stream_id, std::string_view service, std::string_view method,
                          std::string_view payload, std::chrono::nanoseconds timeout,
                          const Metadata& metadata);

std::string EncodeReply(uint32_t stream_id, std::string_view payload);

// kOk becomes kUnknown. The message is made valid by ValidUtf8(), because other implementations
// refuse to parse a status that is not.
std::string EncodeStatus(uint32_t stream_id, const Error& error);

// `text` with each byte that is not UTF-8 replaced by U+FFFD, cut between characters to at most
// `limit` bytes.
std::string ValidUtf8(std::string_view text, size_t limit);

}  // namespace kata::ttrpc
