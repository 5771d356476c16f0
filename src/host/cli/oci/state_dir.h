// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/state_dir.h - what the command line remembers of its containers.
//
//   <root>/<id>/state.json    written when `create` has succeeded; no container without it
//   <root>/<id>/lock          held (flock) by the one that creates or deletes
//   <root>/<id>/config.json   the bundle's, as it was at `create`
//   <root>/<id>/log           the shim's log
//
// A `create` that was killed leaves a directory without state.json that nobody has locked: the next
// one for the id clears it away.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::cli::oci {

struct State {
  std::string id;
  std::string oci_version;
  std::string bundle;
  std::string rootfs;
  std::string created;  // RFC 3339
  std::map<std::string, std::string> annotations;
  std::string shim;     // path of the shim's socket
  std::string sandbox;  // id of the one it is in
  bool first = true;    // it has booted the sandbox's machine
  pid_t pid = 0;        // of the stand-in
  uid_t owner = 0;
};

// Errors  kInvalidArgument  no name for a container
Result<void> CheckId(const std::string& id);

// The directory of one container, locked by this process.
class StateDir {
 public:
  // A new directory. `clear_away` is called for the directory that a killed `create` left, before
  // it is removed.
  // Errors  kAlreadyExists  the container exists, or is being created
  static Result<StateDir> Claim(const std::string& root, const std::string& id,
                                const std::function<void(const std::string& path)>& clear_away);
  // An existing directory; waits for whoever has it locked.
  // Errors  kNotFound  there is none (any more)
  static Result<StateDir> Lock(const std::string& root, const std::string& id);

  const std::string& path() const { return path_; }
  // Removes the directory with all in it.
  Result<void> Remove();

 private:
  StateDir(std::string root, std::string path, sys::UniqueFd lock)
      : root_(std::move(root)), path_(std::move(path)), lock_(std::move(lock)) {}

  std::string root_;
  std::string path_;
  sys::UniqueFd lock_;
};

std::string StatePath(const std::string& root, const std::string& id);

Result<void> SaveState(const std::string& root, const State& state);
// Errors  kNotFound  "container does not exist"
Result<State> LoadState(const std::string& root, const std::string& id);
// All containers, by id. What does not load is left out.
std::vector<State> ListStates(const std::string& root);

}  // namespace kata::cli::oci
