// SPDX-License-Identifier: Apache-2.0
#include "host/network/namespace_guard.h"

#include <dirent.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string_view>

#include <fmt/format.h>

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

}  // namespace

Result<void> CheckNamespace(int fd, const std::string& path, const std::string& proc) {
  const sys::NamespaceId id = KATA_TRY(sys::IdOfNamespace(fd));
  for (const char* process : {"self", "1"}) {
    if (IdOf(fmt::format("{}/{}/ns/net", proc, process)) != id) continue;
    return Fail(
        Code::kFailedPrecondition,
        fmt::format("network namespace \"{}\" is the host's own, which cannot be given to a "
                    "virtual machine; leave out --net=host",
                    path));
  }
  if (const std::string inhabitant = Inhabitant(id, proc); !inhabitant.empty()) {
    return Fail(
        Code::kFailedPrecondition,
        fmt::format(
            "network namespace \"{}\" is in use by process {}: a virtual machine would take "
            "its network away; only containers of one pod share a network",
            path, inhabitant));
  }
  return {};
}

}  // namespace kata::network
