// SPDX-License-Identifier: Apache-2.0
#include "host/shim/options.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "proto/shim.pb.h"

namespace kata::shim {
namespace {

// containerd's CRI plugin before 1.5 used the second name.
constexpr std::array<std::string_view, 2> kOurs{"runtimeoptions.v1.Options",
                                                "cri.runtimeoptions.v1.Options"};
constexpr std::array<std::string_view, 3> kRuncs{"containerd.runc.v1.Options",
                                                 "containerd.linux.runc.RuncOptions",
                                                 "containerd.linux.runc.CreateOptions"};

template <size_t n>
bool Contains(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::string_view kCheckpoint = "containerd.runc.v1.CheckpointOptions";

// "type.googleapis.com/" and the like do not change the message.
std::string_view TypeOf(const wellknown::Any& options) {
  std::string_view type = options.type_url();
  type.remove_prefix(type.rfind('/') + 1);
  return type;
}

}  // namespace

Result<std::optional<bool>> ParseCheckpointExit(const wellknown::Any& options) {
  const std::string_view type = TypeOf(options);
  if (type.empty() && options.value().empty()) return std::nullopt;
  if (type != kCheckpoint) {
    return Fail(Code::kInvalidArgument,
                fmt::format("checkpoint options of type \"{}\" are not known: use {}",
                            type.substr(0, 128), kCheckpoint));
  }
  CheckpointOptions message;
  if (!message.ParseFromString(options.value())) {
    return Fail(Code::kInvalidArgument, "checkpoint options do not parse");
  }
  return message.exit();
}

Result<RuntimeOptionsValue> ParseRuntimeOptions(const wellknown::Any& options) {
  const std::string_view type = TypeOf(options);
  if ((type.empty() && options.value().empty()) || Contains(kRuncs, type)) {
    return RuntimeOptionsValue{};
  }
  if (!Contains(kOurs, type)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("runtime options of type \"{}\" are not known: use {}",
                            type.substr(0, 128), kOurs.front()));
  }
  RuntimeOptions message;
  if (!message.ParseFromString(options.value())) {
    return Fail(Code::kInvalidArgument, "runtime options do not parse");
  }
  return RuntimeOptionsValue{message.config_path(), message.config_body()};
}

}  // namespace kata::shim
