// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/start_hooks.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <vector>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/process.h"

namespace kata::guest {
namespace {

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

constexpr size_t kMaxOutput = 4096;

[[noreturn]] void ExecuteHook(const oci::Hook& hook, const Environment& inherited, int input,
                              int output) {
  const auto pointers = [](const auto& strings) {
    std::vector<char*> result;
    for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
    return result;
  };
  std::vector<char*> arguments = pointers(hook.args());
  if (arguments.empty()) arguments.push_back(const_cast<char*>(hook.path().c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> environment = hook.env().empty() ? pointers(inherited) : pointers(hook.env());
  environment.push_back(nullptr);
  if (::dup2(input, STDIN_FILENO) >= 0 && ::dup2(output, STDOUT_FILENO) >= 0 &&
      ::dup2(output, STDERR_FILENO) >= 0) {
    ::execve(hook.path().c_str(), arguments.data(), environment.data());
  }
  ::_exit(127);
}

// False when the time was not enough.
bool AwaitEnd(pid_t child, int64_t timeout_seconds) {
  const sys::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!pidfd || timeout_seconds <= 0) return true;
  return sys::WaitFor(pidfd.get(), POLLIN, Deadline::After(std::chrono::seconds(timeout_seconds)))
      .has_value();
}

std::string ReadOutput(int file) {
  std::string text(kMaxOutput, '\0');
  const ssize_t size = ::pread(file, text.data(), text.size(), 0);
  text.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return text;
}

Result<void> RunHook(const oci::Hook& hook, const Environment& inherited,
                     const std::string& state) {
  const sys::UniqueFd input = KATA_TRY(sys::MakeTextFile(state));
  const sys::UniqueFd output = KATA_TRY(sys::MakeTextFile(""));
  const pid_t child = ::fork();
  if (child < 0) return FailErrno("fork");
  if (child == 0) ExecuteHook(hook, inherited, input.get(), output.get());
  const bool in_time = AwaitEnd(child, hook.timeout());
  if (!in_time) ::kill(child, SIGKILL);
  int status = 0;
  if (sys::RetryOnEintr([&] { return ::waitpid(child, &status, 0); }) != child) {
    return FailErrno("wait");
  }
  if (!in_time) {
    return Fail(Code::kDeadlineExceeded,
                fmt::format("did not end within {} seconds", hook.timeout()));
  }
  const sys::ExitStatus exit = sys::ExitStatus::FromWaitStatus(status);
  if (exit.Success()) return {};
  return Fail(Code::kInternal,
              fmt::format("{}, output: {}", exit.Describe(), ReadOutput(output.get())));
}

}  // namespace

std::string FormatState(const std::string& id, const oci::Spec& spec, int pid) {
  const std::map<std::string, std::string> annotations(spec.annotations().begin(),
                                                       spec.annotations().end());
  const auto bundle = annotations.find("io.katacontainers.pkg.oci.bundle_path");
  std::string state = fmt::format(
      R"({{"ociVersion":{},"id":{},"status":"created","pid":{},"bundle":{},"annotations":{{)",
      Quote(spec.version()), Quote(id), pid,
      Quote(bundle == annotations.end() ? "" : bundle->second));
  bool first = true;
  for (const auto& [key, value] : annotations) {
    if (!std::exchange(first, false)) state += ',';
    state += fmt::format("{}:{}", Quote(key), Quote(value));
  }
  return state + "}}";
}

Result<void> RunStartHooks(const std::string& id, const oci::Spec& spec,
                           const Environment& inherited) {
  const auto& hooks = spec.hooks().start_container();
  if (hooks.empty()) return {};
  const std::string state = FormatState(id, spec, ::getpid());
  for (int i = 0; i < hooks.size(); ++i) {
    KATA_TRY_WITHIN(
        fmt::format("error running startContainer hook #{}: \"{}\"", i, hooks[i].path()),
        RunHook(hooks[i], inherited, state));
  }
  return {};
}

}  // namespace kata::guest
