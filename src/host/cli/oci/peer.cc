// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/peer.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/stand_in.h"
#include "sys/files.h"

namespace kata::cli::oci {

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
