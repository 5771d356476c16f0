// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/config_file.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "base/rollback.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::cli::setup {
namespace {

constexpr size_t kMaxConfigBytes = 1 << 20;

std::string DirOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A name is on the disk when its directory is.
Result<void> SyncDir(const std::string& path) {
  const sys::UniqueFd dir = KATA_TRY(sys::Open(path, O_RDONLY | O_DIRECTORY));
  if (::fsync(dir.get()) != 0) return FailErrno("fsync", path);
  return {};
}

Result<void> WriteTemporary(const std::string& temporary, std::string_view text,
                            const struct stat* like, mode_t mode) {
  const sys::UniqueFd file =
      KATA_TRY(sys::Open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  KATA_TRY_WITHIN(fmt::format("write \"{}\"", temporary), sys::WriteAll(file.get(), text));
  // The owner first: a change of it takes bits of the mode away.
  if (like != nullptr && ::fchown(file.get(), like->st_uid, like->st_gid) != 0) {
    return FailErrno("chown", temporary);
  }
  if (::fchmod(file.get(), like != nullptr ? like->st_mode & 07777 : mode) != 0) {
    return FailErrno("chmod", temporary);
  }
  if (::fsync(file.get()) != 0) return FailErrno("fsync", temporary);
  return {};
}

}  // namespace

Result<ConfigFile> ReadConfigFile(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> target(::realpath(path.c_str(), nullptr), ::free);
  if (!target) {
    struct stat status{};
    if (errno != ENOENT) return FailErrno("open", path);
    if (::lstat(path.c_str(), &status) == 0) {
      return Fail(Code::kFailedPrecondition,
                  fmt::format("open \"{}\": a link to something that is not there; remove it, or "
                              "make what it names",
                              path));
    }
    return ConfigFile{.path = path};
  }
  struct stat status{};
  if (::stat(target.get(), &status) != 0) return FailErrno("stat", path);
  if (!S_ISREG(status.st_mode)) {
    return Fail(Code::kFailedPrecondition, fmt::format("open \"{}\": not a regular file", path));
  }
  return ConfigFile{.path = target.get(),
                    .text = KATA_TRY(sys::ReadFile(target.get(), kMaxConfigBytes))};
}

std::vector<std::string> MissingDirs(const std::string& path) {
  std::vector<std::string> missing;
  for (std::string dir = DirOf(path); !sys::Exists(dir); dir = DirOf(dir)) missing.push_back(dir);
  std::reverse(missing.begin(), missing.end());
  return missing;
}

Result<void> WriteConfigFile(const std::string& path, std::string_view text, mode_t mode) {
  struct stat status{};
  const bool replaces = ::stat(path.c_str(), &status) == 0;
  KATA_TRY(sys::MakeDirs(DirOf(path)));
  const std::string temporary = TemporaryOf(path);
  KATA_TRY(sys::RemoveFile(temporary));
  Rollback undo;
  undo.Add([temporary] { (void)sys::RemoveFile(temporary); });
  KATA_TRY(WriteTemporary(temporary, text, replaces ? &status : nullptr, mode));
  if (::rename(temporary.c_str(), path.c_str()) != 0) return FailErrno("rename", path);
  undo.Release();
  return SyncDir(DirOf(path));
}

std::string TemporaryOf(const std::string& path) { return path + ".kata-setup"; }
std::string TrialOf(const std::string& path) { return path + ".kata-setup-trial"; }

void RemoveLeftovers(const std::string& path) {
  for (const std::string& name : {TemporaryOf(path), TrialOf(path), TemporaryOf(TrialOf(path))}) {
    (void)sys::RemoveFile(name);
  }
}

Result<void> PutConfigFile(const std::string& path, const std::optional<std::string>& text) {
  if (text) return WriteConfigFile(path, *text);
  KATA_TRY(sys::RemoveFile(path));
  return SyncDir(DirOf(path));
}

}  // namespace kata::cli::setup
