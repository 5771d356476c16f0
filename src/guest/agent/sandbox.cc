// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fmt/format.h>

#include "guest/agent/container/sysctls.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxHostname = 64;  // of the kernel
constexpr int kMaxDnsLines = 256;

Result<sys::UniqueFd> OpenNamespace(const char* kind) {
  return sys::Open(fmt::format("/proc/self/ns/{}", kind), O_RDONLY);
}

struct Namespaces {
  sys::UniqueFd ipc;
  sys::UniqueFd uts;
};

// Makes the namespaces by entering new ones and going back: the agent has one thread, and a
// namespace lives as long as a descriptor of it.
Result<Namespaces> MakeNamespaces(const std::string& hostname) {
  const sys::UniqueFd own_ipc = KATA_TRY(OpenNamespace("ipc"));
  const sys::UniqueFd own_uts = KATA_TRY(OpenNamespace("uts"));
  if (::unshare(CLONE_NEWIPC | CLONE_NEWUTS) != 0) return FailErrno("unshare", "ipc, uts");
  Result<Namespaces> made = [&]() -> Result<Namespaces> {
    if (!hostname.empty() && ::sethostname(hostname.data(), hostname.size()) != 0) {
      return FailErrno("sethostname", hostname);
    }
    Namespaces fresh;
    fresh.ipc = KATA_TRY(OpenNamespace("ipc"));
    fresh.uts = KATA_TRY(OpenNamespace("uts"));
    return fresh;
  }();
  if (::setns(own_ipc.get(), CLONE_NEWIPC) != 0) return FailErrno("setns", "ipc");
  if (::setns(own_uts.get(), CLONE_NEWUTS) != 0) return FailErrno("setns", "uts");
  return made;
}

Result<void> WriteResolverConfiguration(const agent::CreateSandboxRequest& request) {
  if (request.dns_size() == 0) return {};
  if (request.dns_size() > kMaxDnsLines) {
    return Fail(Code::kInvalidArgument, fmt::format("{} DNS lines", request.dns_size()));
  }
  std::string content;
  for (const std::string& line : request.dns()) content += line + "\n";
  const std::string path = fmt::format("{}/resolv.conf", kSandboxDir);
  KATA_TRY(sys::ReplaceFile(path, content));
  constexpr const char* kSystemFile = "/etc/resolv.conf";
  if (!sys::Exists(kSystemFile)) {
    KATA_TRY(sys::MakeDirs("/etc"));
    KATA_TRY(sys::WriteFile(kSystemFile, ""));
  }
  if (::mount(path.c_str(), kSystemFile, nullptr, MS_BIND, nullptr) != 0) {
    return FailErrno("mount", kSystemFile);
  }
  return {};
}

Result<void> SetAll(const agent::CreateSandboxRequest& request) {
  for (const auto& [name, value] : request.sysctls()) KATA_TRY(SetSysctl(name, value));
  return {};
}

// In the namespaces that containers share: which files there are below /proc/sys depends on who
// looks.
Result<void> SetSysctls(const agent::CreateSandboxRequest& request, int ipc, int uts,
                        GuestNetwork& network) {
  if (request.sysctls().empty()) return {};
  // What the host has in its namespace does not take their place.
  oci::Linux claimed;
  *claimed.mutable_sysctl() = request.sysctls();
  network.ClaimSettings(claimed);
  const sys::UniqueFd own_ipc = KATA_TRY(OpenNamespace("ipc"));
  const sys::UniqueFd own_uts = KATA_TRY(OpenNamespace("uts"));
  if (::setns(ipc, CLONE_NEWIPC) != 0) return FailErrno("setns", "ipc");
  Result<void> set;
  if (::setns(uts, CLONE_NEWUTS) != 0) {
    set = FailErrno("setns", "uts");
  } else if (auto entered = network.Within([&] { set = SetAll(request); }); !entered) {
    set = std::move(entered);
  }
  if (::setns(own_ipc.get(), CLONE_NEWIPC) != 0) return FailErrno("setns", "ipc");
  if (::setns(own_uts.get(), CLONE_NEWUTS) != 0) return FailErrno("setns", "uts");
  return set;
}

}  // namespace

Result<Sandbox> Sandbox::Create(const agent::CreateSandboxRequest& request) {
  if (request.hostname().size() > kMaxHostname) {
    return Fail(Code::kInvalidArgument,
                fmt::format("host name of {} characters", request.hostname().size()));
  }
  KATA_TRY(sys::MakeDirs(kSandboxDir));
  KATA_TRY(sys::MakeDirs(kSharedDir));
  KATA_TRY(WriteResolverConfiguration(request));
  Namespaces namespaces = KATA_TRY(MakeNamespaces(request.hostname()));
  Sandbox sandbox(KATA_TRY(GuestNetwork::Create()));
  sandbox.id_ = request.sandbox_id();
  KATA_TRY(SetSysctls(request, namespaces.ipc.get(), namespaces.uts.get(), sandbox.network_));
  sandbox.shares_pid_ = request.sandbox_pidns();
  sandbox.without_first_ = request.without_first();
  sandbox.ipc_ = std::move(namespaces.ipc);
  sandbox.uts_ = std::move(namespaces.uts);
  return sandbox;
}

SharedNamespaces Sandbox::NamespacesFor(bool share_pid) const {
  return {.ipc = ipc_.get(),
          .uts = uts_.get(),
          .pid = !share_pid ? -1
                 : keeper_  ? keeper_->fd()
                            : pid_.get(),
          .net = network_.fd()};
}

Result<void> Sandbox::PreparePid() {
  if (!without_first_ || (keeper_ && keeper_->alive())) return {};
  keeper_ = KATA_TRY(PidKeeper::Start());
  return {};
}

Result<void> Sandbox::KeepPidNamespace(pid_t pid) {
  if (pid_ || without_first_) return {};
  pid_ = KATA_TRY(sys::Open(fmt::format("/proc/{}/ns/pid", pid), O_RDONLY));
  pid_owner_ = pid;
  return {};
}

Result<void> Sandbox::SetHostname(const std::string& hostname) {
  if (hostname.size() > kMaxHostname) {
    return Fail(Code::kInvalidArgument, fmt::format("host name of {} characters", hostname.size()));
  }
  const sys::UniqueFd own = KATA_TRY(OpenNamespace("uts"));
  if (::setns(uts_.get(), CLONE_NEWUTS) != 0) return FailErrno("setns", "uts");
  Result<void> named;
  if (::sethostname(hostname.data(), hostname.size()) != 0) {
    named = FailErrno("sethostname", hostname);
  }
  if (::setns(own.get(), CLONE_NEWUTS) != 0) return FailErrno("setns", "uts");
  return named;
}

void Sandbox::ForgetPidNamespace(pid_t pid) {
  if (pid == pid_owner_) pid_.Reset();
}

}  // namespace kata::guest
