// SPDX-License-Identifier: Apache-2.0
#include "host/shim/bootstrap.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "host/shim/options.h"

namespace kata::shim {
namespace {

int ParseVersion(const char* word, int otherwise) {
  if (word == nullptr) return otherwise;
  const std::string_view text = word;
  int version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version < 2) return otherwise;
  return std::min(version, kMaxShimVersion);
}

std::unexpected<Error> Garbage() {
  return Fail(Code::kInvalidArgument, "stdin holds neither runtime options nor BootstrapParams");
}

}  // namespace

Result<StartInput> ParseStartInput(const std::string& input, std::string_view id) {
  StartInput result;
  if (input.empty()) return result;
  // Every BootstrapParams parses as an Any too: the two share the types of their first fields.
  wellknown::Any any;
  if (!any.ParseFromString(input)) return Garbage();
  if (any.type_url() != id) {
    result.options = std::move(any);
    return result;
  }
  if (!result.params.emplace().ParseFromString(input)) return Garbage();
  return result;
}

std::string ConfigPathOf(const StartInput& input) {
  const auto path_in = [](const wellknown::Any& options) {
    // What is wrong with them is told by Create.
    const auto parsed = ParseRuntimeOptions(options);
    return parsed ? parsed->config_path : "";
  };
  if (input.options) return path_in(*input.options);
  if (!input.params) return "";
  for (const Extension& extension : input.params->extensions()) {
    if (std::string path = path_in(extension.value()); !path.empty()) return path;
  }
  return "";
}

std::string FormatStartAnswer(std::string_view address, const char* max_version, bool has_params) {
  if (has_params) {
    BootstrapResult result;
    result.set_version(ParseVersion(max_version, kMaxShimVersion));
    result.set_address(std::string(address));
    result.set_protocol("ttrpc");
    return result.SerializeAsString();
  }
  const int version = ParseVersion(max_version, 2);
  if (version < 3) return std::string(address);
  // An address is "unix://", a directory that containerd chose, and hexadecimal digits.
  std::string escaped;
  for (const char c : address) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return fmt::format(R"({{"version":{},"address":"{}","protocol":"ttrpc"}})", version, escaped);
}

}  // namespace kata::shim
