// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/envelope.h"

#include <algorithm>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "ttrpc/frame.h"

namespace kata::ttrpc {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using Wire = google::protobuf::internal::WireFormatLite;

constexpr uint32_t Varint(int field) { return Wire::MakeTag(field, Wire::WIRETYPE_VARINT); }
constexpr uint32_t Bytes(int field) {
  return Wire::MakeTag(field, Wire::WIRETYPE_LENGTH_DELIMITED);
}

void AppendVarint(uint64_t value, std::string& out) {
  uint8_t buffer[10];
  const uint8_t* const end = CodedOutputStream::WriteVarint64ToArray(value, buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(end - buffer));
}

void AppendBytes(int field, std::string_view value, std::string& out) {
  AppendVarint(Bytes(field), out);
  AppendVarint(value.size(), out);
  out += value;
}

void AppendText(int field, std::string_view value, std::string& out) {
  if (!value.empty()) AppendBytes(field, value, out);
}

std::string StartFrame(size_t expected_body) {
  std::string frame;
  frame.reserve(kHeaderSize + expected_body);
  frame.assign(kHeaderSize, '\0');
  return frame;
}

std::string FinishFrame(uint32_t stream_id, uint8_t type, std::string frame) {
  std::string header;
  AppendHeader({.length = static_cast<uint32_t>(frame.size() - kHeaderSize),
                .stream_id = stream_id,
                .type = type,
                .flags = 0},
               header);
  std::copy(header.begin(), header.end(), frame.begin());
  return frame;
}

// Reads the fields of one message. `Next()` gives tags until the end or an error.
class FieldReader {
 public:
  explicit FieldReader(std::string_view body)
      : body_(body),
        in_(reinterpret_cast<const uint8_t*>(body.data()), static_cast<int>(body.size())) {}

  // The next field's tag, 0 at the end.
  uint32_t Next() {
    if (failed_ || in_.CurrentPosition() == static_cast<int>(body_.size())) return 0;
    const uint32_t tag = in_.ReadTag();
    if (tag == 0) failed_ = true;
    return tag;
  }
  std::string_view ReadBytes() {
    uint32_t size = 0;
    if (!in_.ReadVarint32(&size)) return Failed();
    const size_t start = static_cast<size_t>(in_.CurrentPosition());
    if (size > body_.size() - start || !in_.Skip(static_cast<int>(size))) return Failed();
    return body_.substr(start, size);
  }
  uint64_t ReadVarint() {
    uint64_t value = 0;
    if (!in_.ReadVarint64(&value)) failed_ = true;
    return value;
  }
  void Skip(uint32_t tag) {
    if (!Wire::SkipField(&in_, tag)) failed_ = true;
  }
  bool ok() const { return !failed_; }

 private:
  std::string_view Failed() {
    failed_ = true;
    return {};
  }

  const std::string_view body_;
  CodedInputStream in_;
  bool failed_ = false;
};

bool ParseMetadata(std::string_view body, Metadata& metadata) {
  if (metadata.size() >= kMaxMetadata) return false;
  auto& [key, value] = metadata.emplace_back();
  FieldReader reader(body);
  while (const uint32_t tag = reader.Next()) {
    switch (tag) {
      case Bytes(1):
        key = reader.ReadBytes();
        break;
      case Bytes(2):
        value = reader.ReadBytes();
        break;
      default:
        reader.Skip(tag);
    }
  }
  return reader.ok();
}

// The error of a status; nullopt if it does not parse.
std::optional<Error> ParseStatus(std::string_view body) {
  int32_t code = 0;
  std::string_view message;
  FieldReader reader(body);
  while (const uint32_t tag = reader.Next()) {
    switch (tag) {
      case Varint(1):
        code = static_cast<int32_t>(reader.ReadVarint());
        break;
      case Bytes(2):
        message = reader.ReadBytes();
        break;
      default:
        reader.Skip(tag);
    }
  }
  if (!reader.ok()) return std::nullopt;
  const bool known = code >= 0 && code <= static_cast<int32_t>(Code::kUnauthenticated);
  return Error(known ? static_cast<Code>(code) : Code::kUnknown,
               ValidUtf8(message, kMaxStatusMessage));
}

// Length of the UTF-8 character that `text` starts with; 0 if there is none (RFC 3629: no
// surrogates, no overlong forms, nothing above U+10FFFF).
size_t CharacterLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string ValidUtf8(std::string_view text, size_t limit) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string valid;
  valid.reserve(std::min(text.size(), limit));
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const std::string_view character = length > 0 ? text.substr(0, length) : kReplacement;
    if (valid.size() + character.size() > limit) break;
    valid += character;
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return valid;
}

std::optional<RequestBody> ParseRequest(std::string_view body) {
  RequestBody request;
  FieldReader reader(body);
  while (const uint32_t tag = reader.Next()) {
    switch (tag) {
      case Bytes(1):
        request.service = reader.ReadBytes();
        break;
      case Bytes(2):
        request.method = reader.ReadBytes();
        break;
      case Bytes(3):
        request.payload = reader.ReadBytes();
        break;
      case Varint(4):
        request.timeout = std::chrono::nanoseconds(static_cast<int64_t>(reader.ReadVarint()));
        break;
      case Bytes(5):
        if (!ParseMetadata(reader.ReadBytes(), request.metadata)) return std::nullopt;
        break;
      default:
        reader.Skip(tag);
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

Result<std::string> ParseResponse(std::string_view body) {
  std::optional<std::string_view> status;
  std::string_view payload;
  FieldReader reader(body);
  while (const uint32_t tag = reader.Next()) {
    switch (tag) {
      case Bytes(1):
        status = reader.ReadBytes();
        break;
      case Bytes(2):
        payload = reader.ReadBytes();
        break;
      default:
        reader.Skip(tag);
    }
  }
  if (!reader.ok()) return Fail(Code::kInternal, "the response's envelope does not parse");
  if (status) {
    std::optional<Error> error = ParseStatus(*status);
    if (!error) return Fail(Code::kInternal, "the response's status does not parse");
    if (error->code() != Code::kOk) return std::unexpected(*std::move(error));
  }
  return std::string(payload);
}

std::string EncodeRequest(uint32_t stream_id, std::string_view service, std::string_view method,
                          std::string_view payload, std::chrono::nanoseconds timeout,
                          const Metadata& metadata) {
  std::string frame = StartFrame(service.size() + method.size() + payload.size() + 64);
  AppendText(1, service, frame);
  AppendText(2, method, frame);
  AppendText(3, payload, frame);
  if (timeout.count() != 0) {
    AppendVarint(Varint(4), frame);
    AppendVarint(static_cast<uint64_t>(timeout.count()), frame);
  }
  for (const auto& [key, value] : metadata) {
    std::string pair;
    AppendText(1, key, pair);
    AppendText(2, value, pair);
    AppendBytes(5, pair, frame);
  }
  return FinishFrame(stream_id, kRequest, std::move(frame));
}

std::string EncodeReply(uint32_t stream_id, std::string_view payload) {
  std::string frame = StartFrame(payload.size() + 16);
  AppendText(2, payload, frame);
  return FinishFrame(stream_id, kResponse, std::move(frame));
}

std::string EncodeStatus(uint32_t stream_id, const Error& error) {
  const Code code = error.code() == Code::kOk ? Code::kUnknown : error.code();
  std::string status;
  AppendVarint(Varint(1), status);
  AppendVarint(static_cast<uint64_t>(code), status);
  AppendText(2, ValidUtf8(error.message(), kMaxStatusMessage), status);
  std::string frame = StartFrame(status.size() + 16);
  AppendBytes(1, status, frame);
  return FinishFrame(stream_id, kResponse, std::move(frame));
}

}  // namespace kata::ttrpc
