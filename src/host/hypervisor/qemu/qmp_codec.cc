// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/qmp_codec.h"

#include <optional>

#include <fmt/format.h>

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

const json& Member(const json& object, const char* name) {
  static const json none;
  if (!object.is_object()) return none;
  const auto it = object.find(name);
  return it == object.end() ? none : *it;
}

std::string Text(const json& value) {
  return value.is_string() ? value.get_ref<const std::string&>() : std::string();
}

int Number(const json& value) {
  if (!value.is_number_integer()) return 0;
  const auto number = value.get<int64_t>();
  return number < 0 || number > 100000 ? 0 : static_cast<int>(number);
}

std::optional<uint64_t> Id(const json& message) {
  const json& id = Member(message, "id");
  if (!id.is_number_unsigned()) return std::nullopt;
  return id.get<uint64_t>();
}

std::optional<QmpMessage> Classify(json message) {
  if (const json& greeting = Member(message, "QMP"); greeting.is_object()) {
    const json& version = Member(Member(greeting, "version"), "qemu");
    return QmpGreeting{Number(Member(version, "major")), Number(Member(version, "minor")),
                       Number(Member(version, "micro"))};
  }
  if (const json& event = Member(message, "event"); event.is_string()) {
    const json& data = Member(message, "data");
    return QmpEvent{Text(event), data.is_object() ? data : json::object()};
  }
  if (message.is_object() && message.contains("return")) {
    return QmpReturn{Id(message).value_or(0), std::move(message["return"])};
  }
  if (const json& error = Member(message, "error"); error.is_object()) {
    return QmpError{Id(message).value_or(0), Text(Member(error, "class")),
                    Text(Member(error, "desc"))};
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<QmpMessage>> QmpCodec::Feed(std::string_view bytes) {
  std::vector<QmpMessage> messages;
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const std::string_view part = bytes.substr(0, newline);
    if (pending_.size() + part.size() > kMaxLine) {
      return Fail(Code::kOutOfRange, fmt::format("QMP line longer than {} bytes", kMaxLine));
    }
    pending_ += part;
    if (newline == std::string_view::npos) break;
    bytes.remove_prefix(newline + 1);
    const std::string line = std::exchange(pending_, {});
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    json parsed = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (parsed.is_discarded()) return Fail(Code::kDataLoss, "QMP: not JSON");
    std::optional<QmpMessage> message = Classify(std::move(parsed));
    if (!message) return Fail(Code::kDataLoss, "QMP: neither greeting, answer nor event");
    messages.push_back(*std::move(message));
  }
  return messages;
}

std::string QmpCodec::Encode(uint64_t id, std::string_view command, const json& arguments) {
  json message{{"execute", command}, {"id", id}};
  if (arguments.is_object() && !arguments.empty()) message["arguments"] = arguments;
  return message.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace) + "\n";
}

}  // namespace kata::hypervisor::qemu
