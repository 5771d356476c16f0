// SPDX-License-Identifier: Apache-2.0
#include "host/storage/root_check.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/root_dir.h"

namespace kata::storage {
namespace {

using std::string_view_literals::operator""sv;

// Engines mount files of their own here; programs are not looked for in them.
constexpr std::array kEnginePlaces = {"/etc"sv, "/run"sv,  "/var/run"sv,
                                      "/dev"sv, "/proc"sv, "/sys"sv};

bool IsEnginePlace(std::string_view path) {
  return std::ranges::any_of(kEnginePlaces, [&](std::string_view place) {
    return path.starts_with(place) && (path.size() == place.size() || path[place.size()] == '/');
  });
}

Result<void> CheckMount(const sys::RootDir& root, const RootUse::Mount& mount) {
  const std::string destination = sys::CleanPath(mount.destination);
  const auto place = root.Open(destination, O_PATH);
  if (!place && place.error().error_number() == ELOOP) {
    return std::unexpected(place.error()
                               .Within(fmt::format("mount \"{}\"", destination))
                               .WithCode(Code::kInvalidArgument));
  }
  if (!mount.kernel) return {};
  const auto strict = root.OpenStrict(destination, O_PATH | O_DIRECTORY);
  if (!strict &&
      (strict.error().error_number() == ELOOP || strict.error().error_number() == ENOTDIR)) {
    return Fail(
        Code::kInvalidArgument,
        fmt::format(
            "mount on \"{}\": must be mounted on ordinary directory, not on a symbolic link",
            destination));
  }
  return {};
}

bool Exists(const sys::RootDir& root, const std::string& path) {
  const auto file = root.Open(path, O_PATH);
  return file || file.error().error_number() != ENOENT;
}

// Whether what the host sees below the root is what the program will be looked for in.
bool IsDecisive(const RootUse& use) {
  if (use.hooks || IsEnginePlace(use.program)) return false;
  return std::ranges::all_of(use.mounts, [](const RootUse::Mount& mount) {
    return !mount.files || IsEnginePlace(sys::CleanPath(mount.destination));
  });
}

Result<void> CheckProgram(const sys::RootDir& root, const RootUse& use) {
  if (use.program.find('/') != std::string::npos) {
    const std::string path =
        use.program.starts_with('/') ? use.program : fmt::format("{}/{}", use.cwd, use.program);
    if (IsEnginePlace(sys::CleanPath(path)) || Exists(root, path)) return {};
    return std::unexpected(Error::FromErrnoWorded(
        ENOENT,
        fmt::format("exec: \"{}\": stat {}: no such file or directory", use.program, use.program)));
  }
  std::string_view directories = use.program.empty() ? "" : std::string_view(use.search_path);
  while (!directories.empty()) {
    const size_t end = std::min(directories.find(':'), directories.size());
    const std::string directory(directories.substr(0, end));
    directories.remove_prefix(std::min(end + 1, directories.size()));
    if (directory.empty()) continue;
    if (!directory.starts_with('/') || IsEnginePlace(directory)) return {};
    if (Exists(root, fmt::format("{}/{}", directory, use.program))) return {};
  }
  return std::unexpected(Error::FromErrnoWorded(
      ENOENT, fmt::format("exec: \"{}\": executable file not found in $PATH", use.program)));
}

}  // namespace

Result<void> CheckRoot(const std::string& rootfs, const RootUse& use) {
  const sys::RootDir root(KATA_TRY(sys::Open(rootfs, O_PATH | O_DIRECTORY)));
  for (const RootUse::Mount& mount : use.mounts) KATA_TRY(CheckMount(root, mount));
  return IsDecisive(use) ? CheckProgram(root, use) : Result<void>();
}

}  // namespace kata::storage
