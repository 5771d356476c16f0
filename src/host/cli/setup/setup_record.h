// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/setup_record.h - what `kata-runtime setup` has changed, so that it can be undone.
//
// One file a front end below /var/lib/kata-containers/setup, written before the change itself: a
// program that is killed in between leaves a record of something that did not happen, never the
// opposite.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::cli::setup {

struct SetupRecord {
  std::string path;                   // of the file that was changed
  std::string name;                   // of the runtime
  bool is_default = false;            // it was made the front end's default
  std::optional<std::string> before;  // the file's text; nullopt: there was none
  std::string written;
  std::optional<std::string> interim;  // what stands there for a moment while it is undone
  std::vector<std::string> made_dirs;  // outermost first

  // Whether the file is as setup left it.
  bool IsOurs(const std::optional<std::string>& text) const {
    return text && (*text == written || text == interim);
  }
};

// The records below `root`; one process at a time has them open.
class SetupRecords {
 public:
  // Makes the directory where it is missing.
  // Errors  kUnavailable       another process has them open
  //         kPermissionDenied  not root
  static Result<SetupRecords> Open(const std::string& root);
  // The same, for who only looks: nothing is made, nobody is kept out.
  static SetupRecords OpenToRead(const std::string& root);
  SetupRecords(SetupRecords&&) = default;
  SetupRecords& operator=(SetupRecords&&) = delete;
  // Removes the directory, and the one above it, if they are empty.
  ~SetupRecords();

  // Errors  kDataLoss  the file is damaged
  Result<std::optional<SetupRecord>> Read(const std::string& front_end) const;
  Result<void> Write(const std::string& front_end, const SetupRecord& record) const;
  Result<void> Remove(const std::string& front_end) const;

 private:
  explicit SetupRecords(std::string directory) : directory_(std::move(directory)) {}
  std::string PathOf(const std::string& front_end) const;

  std::string directory_;
  sys::UniqueFd lock_;
};

}  // namespace kata::cli::setup
