// SPDX-License-Identifier: Apache-2.0
#include "host/network/path_choice.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "host/network/endpoints.h"
#include "sys/files.h"
#include "sys/netns.h"

namespace kata::network {
namespace {

std::optional<sys::NamespaceId> IdOf(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return sys::NamespaceId{.device = status.st_dev, .inode = status.st_ino};
}

// "4711 (httpd)" of the first process that lives in the namespace.
std::string Inhabitant(const sys::NamespaceId& id, const std::string& proc) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(proc.c_str()), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name.find_first_not_of("0123456789") != std::string_view::npos) continue;
    if (IdOf(fmt::format("{}/{}/ns/net", proc, name)) != id) continue;
    std::string program =
        sys::ReadFile(fmt::format("{}/{}/comm", proc, name), 64).value_or("unknown");
    if (program.ends_with('\n')) program.pop_back();
    return fmt::format("{} ({})", name, program);
  }
  return "";
}

Result<bool> HasTap() {
  auto socket = KATA_TRY(sys::NetlinkSocket::Open());
  const std::vector<sys::Link> links = KATA_TRY(sys::ListLinks(socket));
  return std::ranges::any_of(links, [](const sys::Link& link) { return IsTapName(link.name); });
}

}  // namespace

Result<NamespaceOwner> WhoseNamespace(int fd, const std::string& proc) {
  const sys::NamespaceId id = KATA_TRY(sys::IdOfNamespace(fd));
  NamespaceOwner owner;
  for (const char* process : {"self", "1"}) {
    if (IdOf(fmt::format("{}/{}/ns/net", proc, process)) == id) owner.use = NamespaceUse::kHost;
  }
  if (owner.use == NamespaceUse::kHost) return owner;
  owner.inhabitant = Inhabitant(id, proc);
  if (!owner.inhabitant.empty()) {
    owner.use = NamespaceUse::kShared;
    owner.of_machine = KATA_TRY(sys::RunInNetns(fd, &HasTap));
  }
  return owner;
}

Result<Model> ChooseModel(Model wanted, const NamespaceOwner& owner, const std::string& path) {
  if (wanted == Model::kNone || owner.use == NamespaceUse::kFree) return wanted;
  if (owner.of_machine) {
    return Fail(
        Code::kFailedPrecondition,
        fmt::format(
            "network namespace \"{}\" is in use by process {}, and its interfaces are another "
            "virtual machine's; only containers of one pod share a network",
            path, owner.inhabitant));
  }
  return Model::kSockets;
}

}  // namespace kata::network
