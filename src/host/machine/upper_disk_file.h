// SPDX-License-Identifier: Apache-2.0
//
// host/machine/upper_disk_file.h - the file of the disk that a container's upper layer is on while
// it runs.
//
// It lies beside the upper layer's directory, where the front end removes it with the container.
// When the guest has brought the files back it is removed; when it could not (the machine was
// killed, there was no room), it stays, and the container's next start goes on with it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"
#include "host/storage/data_image.h"
#include "sys/fd.h"

namespace kata::sandbox {

class UpperDiskFile {
 public:
  // That of the upper layer in the directory `upper`, an absolute path.
  explicit UpperDiskFile(const std::string& upper);

  std::string path() const { return image_.Path(); }
  // Whether there is one that was not brought back.
  bool exists() const;

  // Opens it, or makes it of `size` bytes at most.
  // Errors  those of storage::OpenDataImage
  Result<void> Open(uint64_t size);
  // Makes a new one of `size` bytes with nothing in it, in place of what there may be.
  Result<void> MakeAnew(uint64_t size);
  // After Open(), also one that has failed: it was there before.
  bool taken_over() const { return taken_over_; }
  // After Open(), until TakeFile().
  int file() const { return file_.get(); }
  // After Open(), once.
  sys::UniqueFd TakeFile() { return std::move(file_); }

  // Nothing on it is wanted any more.
  Result<void> Remove() const;
  // The same where its files are where the front end looks for them (`back`), or where the
  // container was not `created` and it is new; else the log says that it stays.
  void Settle(const std::string& container_id, bool created, bool back) const;

 private:
  storage::DataImage image_;
  bool taken_over_ = false;
  sys::UniqueFd file_;
};

}  // namespace kata::sandbox
