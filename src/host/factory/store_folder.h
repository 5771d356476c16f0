// SPDX-License-Identifier: Apache-2.0
//
// factory/store_folder.h - what the stores of things that are made in the background have alike.
//
//   <root>/<name>/          one thing, published by one rename and never written again
//   <root>/.lock            held by the one who builds
//   <root>/.failed-<name>   why a build failed, at this file's time
//   <root>/.new-..., .gone-...  what a killed builder or remover left
//
// Any process may read, remove or publish at any time; those who have a thing open keep it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::factory {

class StoreFolder {
 public:
  // `what` is what the store holds ("templates"), `key` the key of configuration.toml that names
  // the directory; for messages.
  StoreFolder(std::string root, std::string what, std::string key)
      : root_(std::move(root)), what_(std::move(what)), key_(std::move(key)) {}

  const std::string& root() const { return root_; }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }

  // Whoever can write there decides what guests read and run.
  // Errors  kPermissionDenied  others than this user could have written there
  Result<void> CheckOwner() const;
  // Errors  kResourceExhausted  fewer bytes than that are free, and a reserve
  Result<void> CheckSpace(uint64_t needed) const;

  // The names of all things, the last used first.
  std::vector<std::string> Names() const;
  void NoteUse(const std::string& name) const;
  // Errors  kNotFound
  Result<int64_t> LastUse(const std::string& name) const;  // seconds since 1970
  // Out of sight first: nobody finds half of it.
  Result<void> Remove(const std::string& name) const;

  // The right to build, held by the descriptor; none while another process has it.
  Result<std::optional<sys::UniqueFd>> TryLock() const;
  Result<sys::UniqueFd> Lock(Deadline deadline) const;
  // Only with the lock: an empty directory; `name` is ".new-" and more.
  Result<std::string> MakeFolder(const std::string& name) const;
  // Only with the lock. Puts the finished folder in the place of what has that name. `sync`: it is
  // whole after a power cut, too.
  Result<void> Publish(const std::string& folder, const std::string& name, bool sync) const;
  // Only with the lock.
  void RemoveLeavings() const;

  // After a failure, nobody tries again for ten minutes. Logs what it cannot write.
  void NoteFailure(const std::string& name, const std::string& reason) const;
  bool FailedLately(const std::string& name) const;
  // The reasons of all of them.
  std::vector<std::string> Failures() const;

 private:
  const std::string root_;
  const std::string what_;
  const std::string key_;
};

}  // namespace kata::factory
