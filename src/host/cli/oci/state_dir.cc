// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/state_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "oci/id.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

using nlohmann::json;

Result<void> Flock(int fd, int operation) {
  if (sys::RetryOnEintr([&] { return ::flock(fd, operation); }) != 0) {
    return FailErrno("lock");
  }
  return {};
}

// Held while directories come and go; nothing that waits happens under it.
Result<sys::UniqueFd> LockRoot(const std::string& root) {
  sys::UniqueFd fd = KATA_TRY(sys::Open(root, O_RDONLY | O_DIRECTORY));
  KATA_TRY_WITHIN(root, Flock(fd.get(), LOCK_EX));
  return fd;
}

Result<sys::UniqueFd> OpenLock(const std::string& directory) {
  return sys::Open(directory + "/lock", O_RDWR | O_CREAT, 0600);
}

std::unexpected<Error> Missing() { return Fail(Code::kNotFound, "container does not exist"); }
std::unexpected<Error> Taken() {
  return Fail(Code::kAlreadyExists, "container with given ID already exists");
}

std::string StateFile(const std::string& directory) { return directory + "/state.json"; }

Result<State> ParseState(const std::string& text) try {
  const json parsed = json::parse(text);
  State state;
  state.id = parsed.value("id", "");
  state.oci_version = parsed.value("ociVersion", "");
  state.bundle = parsed.value("bundle", "");
  state.rootfs = parsed.value("rootfs", "");
  state.created = parsed.value("created", "");
  state.shim = parsed.value("shim", "");
  state.sandbox = parsed.value("sandbox", state.id);
  state.first = parsed.value("first", true);
  state.pid = parsed.value("pid", 0);
  state.owner = parsed.value("owner", 0U);
  state.annotations = parsed.value("annotations", std::map<std::string, std::string>());
  return state;
} catch (const json::exception&) {
  return Fail(Code::kDataLoss, "state.json is not readable");
}

}  // namespace

Result<void> CheckId(const std::string& id) {
  if (id.empty()) return Fail(Code::kInvalidArgument, "container id cannot be empty");
  KATA_TRY_WITHIN("invalid container ID format", ::kata::oci::ValidateId("id", id));
  return {};
}

std::string StatePath(const std::string& root, const std::string& id) {
  return fmt::format("{}/{}", root, id);
}

Result<StateDir> StateDir::Claim(const std::string& root, const std::string& id,
                                 const std::function<void(const std::string& path)>& clear_away) {
  KATA_TRY(CheckId(id));
  KATA_TRY(sys::MakeDirs(root, 0711));
  const std::string path = StatePath(root, id);
  StateDir dir(root, path, {});
  bool stale = false;
  {
    const sys::UniqueFd root_lock = KATA_TRY(LockRoot(root));
    if (::mkdir(path.c_str(), 0700) != 0) {
      if (errno != EEXIST) return FailErrno("mkdir", path);
      stale = true;
    }
    dir.lock_ = KATA_TRY(OpenLock(path));
    if (!Flock(dir.lock_.get(), LOCK_EX | LOCK_NB)) return Taken();
    if (stale && sys::Exists(StateFile(path))) return Taken();
  }
  if (!stale) return dir;
  clear_away(path);
  KATA_TRY(dir.Remove());
  return Claim(root, id, clear_away);
}

Result<StateDir> StateDir::Lock(const std::string& root, const std::string& id) {
  KATA_TRY(CheckId(id));
  const std::string path = StatePath(root, id);
  if (!sys::Exists(path)) return Missing();
  StateDir dir(root, path, {});
  {
    const sys::UniqueFd root_lock = KATA_TRY(LockRoot(root));
    if (!sys::Exists(path)) return Missing();
    dir.lock_ = KATA_TRY(OpenLock(path));
  }
  KATA_TRY(Flock(dir.lock_.get(), LOCK_EX));
  // The one that had it may have removed the directory.
  struct stat ours{};
  struct stat there{};
  if (::fstat(dir.lock_.get(), &ours) != 0) return FailErrno("fstat", path);
  if (::stat((path + "/lock").c_str(), &there) != 0 || ours.st_ino != there.st_ino) {
    return Missing();
  }
  return dir;
}

Result<void> StateDir::Remove() {
  const sys::UniqueFd root_lock = KATA_TRY(LockRoot(root_));
  KATA_TRY(sys::RemoveTree(path_));
  lock_.Reset();
  return {};
}

Result<void> SaveState(const std::string& root, const State& state) {
  const json text = {{"id", state.id},           {"ociVersion", state.oci_version},
                     {"bundle", state.bundle},   {"rootfs", state.rootfs},
                     {"created", state.created}, {"annotations", state.annotations},
                     {"shim", state.shim},       {"pid", state.pid},
                     {"owner", state.owner},     {"sandbox", state.sandbox},
                     {"first", state.first}};
  return sys::ReplaceFile(StateFile(StatePath(root, state.id)),
                          text.dump(1, ' ', false, json::error_handler_t::replace), 0600);
}

Result<State> LoadState(const std::string& root, const std::string& id) {
  KATA_TRY(CheckId(id));
  const auto text = sys::ReadFile(StateFile(StatePath(root, id)));
  if (!text && text.error().code() == Code::kNotFound) return Missing();
  if (!text) return std::unexpected(text.error());
  return KATA_TRY_WITHIN(StatePath(root, id), ParseState(*text));
}

std::vector<State> ListStates(const std::string& root) {
  std::vector<State> states;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(root.c_str()), ::closedir);
  if (!directory) return states;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string id = entry->d_name;
    if (!CheckId(id)) continue;
    if (auto state = LoadState(root, id)) states.push_back(*std::move(state));
  }
  std::sort(states.begin(), states.end(),
            [](const State& a, const State& b) { return a.id < b.id; });
  return states;
}

}  // namespace kata::cli::oci
