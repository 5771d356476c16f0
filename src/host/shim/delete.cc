// SPDX-License-Identifier: Apache-2.0
#include "host/shim/delete.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "host/shim/address.h"
#include "host/shim/bundle.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::shim {
namespace {

using sandbox::ProcessEntry;
using sandbox::ProcessRole;
using sandbox::SandboxRecord;

constexpr uint32_t kKilledStatus = 128 + 9;

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::vector<std::string_view> Words(std::string_view command_line) {
  std::vector<std::string_view> words;
  while (!command_line.empty()) {
    const size_t end = std::min(command_line.find('\0'), command_line.size());
    words.push_back(command_line.substr(0, end));
    command_line.remove_prefix(std::min(end + 1, command_line.size()));
  }
  return words;
}

bool HasFlag(const std::vector<std::string_view>& words, std::string_view flag,
             std::string_view value) {
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == flag && words[i + 1] == value) return true;
  }
  return false;
}

// The daemon that the bundle's shim.pid names, if that process is the daemon and no stranger with
// its number. For a daemon that was alive but had not written its record yet.
std::optional<ProcessEntry> DaemonOfBundle(const std::string& bundle, const std::string& socket) {
  const auto text = sys::ReadFile(bundle + "/shim.pid", 64);
  if (!text) return std::nullopt;
  pid_t pid = 0;
  if (std::from_chars(text->data(), text->data() + text->size(), pid).ec != std::errc() || pid < 2)
    return std::nullopt;
  const auto entry = sandbox::DescribeProcess(pid, ProcessRole::kShim);
  const auto command_line = sys::ReadFile(fmt::format("/proc/{}/cmdline", pid), 64 << 10);
  if (!entry || !command_line || !HasFlag(Words(*command_line), "-socket", socket)) {
    return std::nullopt;
  }
  return *entry;
}

std::optional<ProcessEntry> FindRole(const SandboxRecord& record, ProcessRole role) {
  for (const ProcessEntry& process : record.processes) {
    if (process.role == role) return process;
  }
  return std::nullopt;
}

// The socket's path: where the bundle says, for a containerd that chose the directory, if the name
// is the right one.
std::string FindSocket(const std::string& bundle, const std::string& usual_path) {
  const auto text = sys::ReadFile(bundle + "/address", 4096);
  if (!text || !text->starts_with(kUnixScheme)) return usual_path;
  const std::string path = text->substr(kUnixScheme.size());
  return BaseName(path) == BaseName(usual_path) ? path : usual_path;
}

task::DeleteResponse MakeResponse(const SandboxRecord& record) {
  task::DeleteResponse response;
  response.set_exit_status(kKilledStatus);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  response.mutable_exited_at()->set_seconds(now.tv_sec);
  response.mutable_exited_at()->set_nanos(static_cast<int32_t>(now.tv_nsec));
  auto process = FindRole(record, ProcessRole::kVmm);
  if (!process) process = FindRole(record, ProcessRole::kShim);
  if (process) response.set_pid(static_cast<uint32_t>(process->pid));
  return response;
}

}  // namespace

task::DeleteResponse Delete(const CommandLine& line, const DeleteHost& host) {
  const Deadline deadline = Deadline::After(host.budget);
  const std::string bundle = ResolveBundle(line.bundle).value_or("");
  std::string sandbox_id = line.id;
  if (const auto role = ReadPodRole(bundle)) {
    sandbox_id = SandboxIdOf(*role, line.id);
  } else {
    log::Debug("bundle is not readable", {{"error", role.error().message()}});
  }
  const std::string socket_dir = host.socket_dir.empty() ? kDefaultSocketDir : host.socket_dir;
  const std::string usual_socket =
      SocketPath(socket_dir, line.address, line.namespace_name, sandbox_id).value_or("");
  const std::string socket = FindSocket(bundle, usual_socket);

  SandboxRecord record;
  if (auto loaded = sandbox::LoadRecord(sandbox_id, host.roots.records)) {
    record = *std::move(loaded);
    if (!record.owner.empty() && BaseName(record.owner) != BaseName(socket)) {
      log::Info("the sandbox belongs to somebody else", {{"owner", record.owner}});
      return MakeResponse({});
    }
  } else if (loaded.error().code() != Code::kNotFound) {
    log::Warn("record is not usable", {{"error", loaded.error().message()}});
  }
  record.id = sandbox_id;
  if (!FindRole(record, ProcessRole::kShim)) {
    if (const auto daemon = DaemonOfBundle(bundle, socket)) record.processes.push_back(*daemon);
  }

  const auto shim = FindRole(record, ProcessRole::kShim);
  const bool shim_lives = shim && sandbox::IsAlive(*shim);
  if (line.id != sandbox_id &&
      (shim_lives || sys::ConnectUnix(socket, Deadline::After(std::chrono::seconds(0))))) {
    return MakeResponse(record);
  }
  // A pod's first container may go before the others; the shim serves those on.
  const bool is_there = std::ranges::find(record.containers, line.id) != record.containers.end();
  if (shim_lives && !is_there && !record.containers.empty()) return MakeResponse(record);
  if (shim_lives) {
    const Deadline grace = Deadline::After(host.grace).Earlier(deadline);
    if (!sandbox::WaitForEnd(*shim, grace)) log::Warn("killing the shim", {{"pid", shim->pid}});
  }

  // A shim that ended in good order has removed its record and all the rest.
  record.paths.push_back(fmt::format("{}/{}", host.vm_dir, sandbox_id));
  record.paths.push_back(fmt::format("{}/{}", host.share_dir, sandbox_id));
  record.sockets.push_back(socket);
  sandbox::CleanupRoots roots = host.roots;
  if (socket != usual_socket) roots.sockets.push_back(socket.substr(0, socket.rfind('/')));
  if (const auto cleaned = sandbox::Cleanup(record, deadline, roots); !cleaned) {
    log::Warn("something is left", {{"sandbox", sandbox_id}, {"error", cleaned.error().message()}});
  }
  return MakeResponse(record);
}

int RunDelete(const CommandLine& line) {
  const task::DeleteResponse response = Delete(line);
  return sys::WriteAll(STDOUT_FILENO, response.SerializeAsString()) ? 0 : 1;
}

}  // namespace kata::shim
