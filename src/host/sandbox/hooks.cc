// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/hooks.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "host/machine/mount_namespace.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::sandbox {
namespace {

using Hooks = google::protobuf::RepeatedPtrField<oci::Hook>;

constexpr auto kDefaultTimeout = std::chrono::seconds(600);
constexpr size_t kMaxOutput = 4096;

Result<void> RunHook(const oci::Hook& hook, const std::string& state, const std::string& bundle) {
  const sys::UniqueFd input = KATA_TRY(sys::MakeTextFile(state));
  sys::Command command;
  command.executable = hook.path();
  command.argv.assign(hook.args().begin(), hook.args().end());
  if (command.argv.empty()) command.argv.push_back(hook.path());
  // Without any it has the shim's, as with runc it has runc's.
  if (!hook.env().empty()) command.env.emplace(hook.env().begin(), hook.env().end());
  command.cwd = bundle;
  command.stdin_fd = input.get();
  command.new_process_group = true;
  if (const int host = RememberedMountNamespace(); host >= 0) command.namespace_fds = {host};
  const auto timeout = hook.timeout() > 0 ? std::chrono::seconds(hook.timeout()) : kDefaultTimeout;
  const sys::CommandOutput done =
      KATA_TRY(sys::RunAndCollect(std::move(command), Deadline::After(timeout), kMaxOutput));
  if (done.status.Success()) return {};
  return Fail(Code::kInternal, fmt::format("{}, output: {}", done.status.Describe(), done.output));
}

Result<void> RunAll(const char* kind, const Hooks& hooks, const std::string& state,
                    const std::string& bundle) {
  for (int i = 0; i < hooks.size(); ++i) {
    KATA_TRY_WITHIN(fmt::format("error running {} hook #{}: \"{}\"", kind, i, hooks[i].path()),
                    RunHook(hooks[i], state, bundle));
  }
  return {};
}

}  // namespace

HookRunner::HookRunner(std::string container_id, std::string bundle, const oci::Spec& spec)
    : container_id_(std::move(container_id)),
      bundle_(std::move(bundle)),
      version_(spec.version()),
      hooks_(spec.hooks()),
      annotations_(spec.annotations()) {}

std::string HookRunner::State(const char* status, int pid) const {
  nlohmann::json state{
      {"ociVersion", version_}, {"id", container_id_}, {"status", status}, {"bundle", bundle_}};
  if (pid > 0) state["pid"] = pid;
  for (const auto& [key, value] : annotations_) state["annotations"][key] = value;
  // What is not UTF-8 came in as JSON, so there is none; an exception must not end the shim.
  return state.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<void> HookRunner::RunCreate(int vmm_pid) const {
  const std::string state = State("creating", vmm_pid);
  KATA_TRY(RunAll("prestart", hooks_.prestart(), state, bundle_));
  KATA_TRY(RunAll("createRuntime", hooks_.create_runtime(), state, bundle_));
  return RunAll("createContainer", hooks_.create_container(), state, bundle_);
}

Result<void> HookRunner::RunPoststart(int vmm_pid) const {
  if (hooks_.poststart().empty()) return {};
  return RunAll("poststart", hooks_.poststart(), State("running", vmm_pid), bundle_);
}

void HookRunner::RunPoststop() const {
  if (hooks_.poststop().empty()) return;
  const std::string state = State("stopped", 0);
  for (const oci::Hook& hook : hooks_.poststop()) {
    if (auto done = RunHook(hook, state, bundle_); !done) {
      log::Warn("poststop hook", {{"path", hook.path()}, {"error", done.error().message()}});
    }
  }
}

}  // namespace kata::sandbox
