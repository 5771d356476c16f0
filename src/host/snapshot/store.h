// SPDX-License-Identifier: Apache-2.0
//
// host/snapshot/store.h - snapshots on the disk.
//
//   <root>/<id>/manifest.json  what it is; written last
//   <root>/<id>/state/         devices and processors, in the VMM's files
//   <root>/<id>/memory         the guest's memory, and of what was plugged module1, ...; sparse
//   <root>/<id>/disk1, ...     disks, sparse
//   <root>/<id>/layer1, ...    images of layers, further names of those in their store where that
//   can be <root>/.new-<id>/          one that is being written, locked by its writer
//   <root>/.gone-...           one that is being removed
//
// A snapshot appears by one rename, whole and synced, and is never written again. Who has its files
// open keeps them, whoever removes it. Any number of processes use a store at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/factory/store_folder.h"
#include "host/snapshot/manifest.h"
#include "sys/fd.h"

namespace kata::snapshot {

class Store {
 public:
  // `quota_mib`: what all snapshots may take; 0: a tenth of the file system.
  Store(std::string root, int64_t quota_mib)
      : folder_(std::move(root), "snapshots", "snapshot.path"), quota_mib_(quota_mib) {}

  // A folder that is being written. Its end without Publish() removes it; what a killed writer
  // leaves, the next Begin() or Prune().
  class Fresh {
   public:
    Fresh(Fresh&& other) noexcept
        : id_(std::move(other.id_)),
          folder_(std::exchange(other.folder_, {})),
          lock_(std::move(other.lock_)) {}
    Fresh& operator=(Fresh&&) = delete;
    ~Fresh();

    const std::string& id() const { return id_; }
    std::string Path(std::string_view name) const;

   private:
    friend class Store;
    Fresh(std::string id, std::string folder, sys::UniqueFd lock)
        : id_(std::move(id)), folder_(std::move(folder)), lock_(std::move(lock)) {}
    std::string id_;
    std::string folder_;  // empty: published
    sys::UniqueFd lock_;
  };

  // Errors  kInvalidArgument    no id
  //         kAlreadyExists      there is a snapshot of that id, or one is being written
  //         kPermissionDenied   others than this user could write there
  //         kResourceExhausted  the disk is full
  Result<Fresh> Begin(const std::string& id) const;
  // Makes it appear, and removes those that were used least recently until all take what they may.
  // Errors  kAlreadyExists      another writer was faster
  //         kResourceExhausted  it is larger than the quota
  Result<void> Publish(Fresh fresh, const Manifest& manifest) const;

  // One that exists. Its files are there until `lock` is closed, even where it is removed
  // meanwhile: for as long as it takes to open them. Notes that it was used. Errors  kNotFound
  // there is none; the message says what may have become of it
  //         kPermissionDenied  others than this user could have written it
  //         kDataLoss, kFailedPrecondition  as Parse
  struct Opened {
    Manifest manifest;
    std::string path;
    sys::UniqueFd lock;
  };
  Result<Opened> Open(const std::string& id) const;

  struct Entry {
    std::string id;
    uint64_t bytes = 0;  // on the disk
    int64_t used = 0;    // seconds since 1970
    Result<Manifest> manifest;
  };
  // All that there are, the last used first.
  std::vector<Entry> List() const;
  // Never waits: where somebody is about to open the files, the next Begin() or Prune() removes
  // them. Errors  kNotFound
  Result<void> Remove(const std::string& id) const;
  // Removes what killed writers and removers left, and snapshots as Publish() does until the rest
  // takes `bytes` at most. Returns the ids of those that were removed.
  Result<std::vector<std::string>> Prune(uint64_t bytes) const;

  Result<uint64_t> Quota() const;  // in bytes
  const std::string& root() const { return folder_.root(); }

 private:
  std::string Path(const std::string& name) const { return folder_.Path(name); }
  void RemoveLeavings() const;
  Result<std::vector<std::string>> MakeRoom(uint64_t bytes, const std::string& except) const;

  const factory::StoreFolder folder_;
  const int64_t quota_mib_;
};

}  // namespace kata::snapshot
