// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/peer.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/stand_in.h"
#include "oci/parse.h"
#include "sys/files.h"

namespace kata::cli::oci {

using nlohmann::literals::operator""_json_pointer;

constexpr size_t kMaxConfigBytes = ::kata::oci::kMaxJsonBytes;

bool IsStandIn(pid_t pid) {
  const auto name = sys::ReadFile(fmt::format("/proc/{}/comm", pid), 64);
  return name && *name == fmt::format("{}\n", kStandInProgram);
}

pid_t NamespaceOwner(const std::string& path) {
  constexpr std::string_view kProc = "/proc/";
  constexpr std::string_view kNs = "/ns/";
  if (!path.starts_with(kProc)) return 0;
  pid_t pid = 0;
  const char* const end = path.data() + path.size();
  const auto [stop, error] = std::from_chars(path.data() + kProc.size(), end, pid);
  const std::string_view rest(stop, static_cast<size_t>(end - stop));
  if (error != std::errc() || pid <= 0 || !rest.starts_with(kNs) ||
      rest.find('/', kNs.size()) != std::string_view::npos) {
    return 0;
  }
  return pid;
}

Result<std::optional<State>> FindPeer(const std::string& root, const ::kata::oci::Spec& spec) {
  std::optional<State> peer;
  std::vector<State> states;
  for (const auto& wanted : spec.linux().namespaces()) {
    const pid_t pid = NamespaceOwner(wanted.path());
    if (pid == 0 || !IsStandIn(pid)) continue;
    if (states.empty()) states = ListStates(root);
    const auto owner = std::ranges::find(states, pid, &State::pid);
    if (owner == states.end()) continue;
    if (peer && peer->sandbox != owner->sandbox) {
      return Fail(Code::kUnimplemented,
                  fmt::format("namespaces of containers {} and {} cannot be joined together: they "
                              "are in different virtual machines",
                              peer->id, owner->id));
    }
    if (wanted.type() == "pid" && !owner->first) {
      return Fail(Code::kUnimplemented,
                  fmt::format("the pid namespace of container {} cannot be joined: in a virtual "
                              "machine only that of its first container is shared",
                              owner->id));
    }
    peer = *owner;
  }
  return peer;
}

Result<std::string> WithJoinedMappings(const std::string& root, std::string config) try {
  using nlohmann::ordered_json;
  if (config.find("/ns/user") == config.npos && config.find("/ns/time") == config.npos) {
    return config;
  }
  auto spec = ordered_json::parse(config);
  if (!spec.contains("/linux/namespaces"_json_pointer)) return config;
  ordered_json& section = spec["linux"];
  // A copy: what is added to an ordered object moves its members.
  const ordered_json namespaces = section["namespaces"];
  for (const auto& wanted : namespaces) {
    const std::string type = wanted.value("type", "");
    const pid_t pid = NamespaceOwner(wanted.value("path", ""));
    if ((type != "user" && type != "time") || pid == 0 || !IsStandIn(pid)) continue;
    const std::vector<State> states = ListStates(root);
    const auto owner = std::ranges::find(states, pid, &State::pid);
    if (owner == states.end()) continue;
    const auto text =
        KATA_TRY(sys::ReadFile(StatePath(root, owner->id) + "/config.json", kMaxConfigBytes));
    const auto other = ordered_json::parse(text);
    const auto copy = [&](const char* key) {
      const ordered_json& theirs = other.at("linux");
      if (section.value(key, ordered_json()).empty() && theirs.contains(key)) {
        section[key] = theirs[key];
      }
    };
    if (type == "time") copy("timeOffsets");
    if (type == "user") {
      copy("uidMappings");
      copy("gidMappings");
    }
  }
  return spec.dump();
} catch (const nlohmann::json::exception& error) {
  return Fail(Code::kInvalidArgument, fmt::format("config.json: {}", error.what()));
}

bool SandboxLives(const std::string& root, const std::string& sandbox) {
  return std::ranges::any_of(ListStates(root), [&](const State& state) {
    return state.sandbox == sandbox && IsStandIn(state.pid);
  });
}

Result<std::string> AsSandbox(const std::string& config, const std::string& id) try {
  auto text = nlohmann::ordered_json::parse(config);
  text["annotations"]["io.kubernetes.cri.container-type"] = "sandbox";
  text["annotations"]["io.kubernetes.cri.sandbox-id"] = id;
  return text.dump();
} catch (const nlohmann::json::exception& error) {
  return Fail(Code::kInvalidArgument, fmt::format("config.json: {}", error.what()));
}

Result<std::string> AsMember(const std::string& config, const std::string& sandbox) try {
  auto text = nlohmann::ordered_json::parse(config);
  text["annotations"]["io.kubernetes.cri.container-type"] = "container";
  text["annotations"]["io.kubernetes.cri.sandbox-id"] = sandbox;
  return text.dump();
} catch (const nlohmann::json::exception& error) {
  return Fail(Code::kInvalidArgument, fmt::format("config.json: {}", error.what()));
}

}  // namespace kata::cli::oci
