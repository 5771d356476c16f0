// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/guest_filter.h"

#include <dirent.h>
#include <sys/stat.h>

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr const char* kFolder = "kata-containers-iptables";
constexpr const char* kGuestFolder = "/run/kata-containers/iptables";
// The agent looks for this one: it comes when all others are there.
constexpr std::string_view kLast = "ld.so";
constexpr mode_t kMode = S_IFREG | 0755;

Result<void> Give(agent::AgentClient& agent, const std::string& folder, std::string_view name) {
  std::string content = KATA_TRY(sys::ReadFile(fmt::format("{}/{}", folder, name)));
  return agent.CopyFile({.path = fmt::format("{}/{}", kGuestFolder, name),
                         .content = std::move(content),
                         .mode = kMode});
}

Result<void> GiveAll(agent::AgentClient& agent, const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (!dir) {
    return Fail(Code::kNotFound, fmt::format("no iptables for guests in {}: run scripts/build or "
                                             "scripts/install again",
                                             folder));
  }
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] == '.' || entry->d_name == kLast) continue;
    KATA_TRY(Give(agent, folder, entry->d_name));
  }
  return Give(agent, folder, kLast);
}

// Does `call`, once more after the guest has got what it lacks.
template <class Call>
auto WithPrograms(agent::AgentClient& agent, const std::string& folder, Call call)
    -> decltype(call()) {
  auto result = call();
  if (result || result.error().code() != Code::kFailedPrecondition) return result;
  KATA_TRY(GiveAll(agent, folder));
  return call();
}

}  // namespace

std::string FilterFolder(const config::Config& config) {
  const auto& vm = config.hypervisor;
  const std::string& beside = vm.initrd.empty() ? vm.kernel : vm.initrd;
  return beside.substr(0, beside.rfind('/') + 1) + kFolder;
}

Result<std::string> ReadFilter(agent::AgentClient& agent, const std::string& folder, bool ipv6) {
  return WithPrograms(agent, folder, [&] { return agent.GetIpTables(ipv6); });
}

Result<void> WriteFilter(agent::AgentClient& agent, const std::string& folder, bool ipv6,
                         const std::string& rules) {
  return WithPrograms(agent, folder, [&] { return agent.SetIpTables(ipv6, rules); });
}

}  // namespace kata::sandbox
