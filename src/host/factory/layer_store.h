// SPDX-License-Identifier: Apache-2.0
//
// factory/layer_store.h - images of layers on the disk, which guests mount instead of asking the
// host for each file.
//
//   <root>/<name>/manifest.json  what it is: the layer, sizes; for programs and people
//   <root>/<name>/image          an EROFS file system
//
// <name> is that of the layer's key; the rest is as in store_folder.h. A published image is whole,
// after a power cut, too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/factory/layer_key.h"
#include "host/factory/store_folder.h"
#include "sys/fd.h"

namespace kata::factory {

struct LayerInfo {
  std::string name;
  std::string directory;  // of the layer, when the image was made
  uint64_t entries = 0;
  uint64_t image_bytes = 0;
  int64_t created = 0;  // seconds since 1970
  int64_t used = 0;     // the same
};

struct LayerImage {
  LayerInfo info;
  std::string path;  // of the image, which may be removed
  sys::UniqueFd fd;  // the image, for reading, which stays
};

class LayerStore {
 public:
  // `limit_mib`: layer_cache_size_mb of the configuration.
  LayerStore(std::string root, int64_t limit_mib)
      : folder_(std::move(root), "images of layers", "layers_path"), limit_mib_(limit_mib) {}

  // The image of the layer with that key, of the size that was published. Notes that it was used.
  // Errors  kNotFound          there is none
  //         kDataLoss          it is damaged, or of a later version
  //         kPermissionDenied  others than this user could have written it
  Result<LayerImage> Open(const LayerKey& key) const;
  // All that can be read, the last used first.
  Result<std::vector<LayerInfo>> List() const;
  Result<void> Remove(const std::string& name) const { return folder_.Remove(name); }
  // What all of them may take of the disk.
  Result<uint64_t> Limit() const;

  // As those of StoreFolder.
  Result<std::optional<sys::UniqueFd>> TryLock() const { return folder_.TryLock(); }
  Result<sys::UniqueFd> Lock(Deadline deadline) const { return folder_.Lock(deadline); }
  void NoteFailure(const LayerKey& key, const std::string& reason) const {
    folder_.NoteFailure(key.name, reason);
  }
  bool FailedLately(const LayerKey& key) const { return folder_.FailedLately(key.name); }
  std::vector<std::string> Failures() const { return folder_.Failures(); }

  // Only with the lock: where to make an image of at most that many bytes, in a folder that
  // Publish() or Discard() takes away, or the next builder. Images of layers that are gone, and
  // those that were not used for longest, make room.
  // Errors  kResourceExhausted  it is larger than the limit, or the disk is full
  Result<std::string> Begin(const LayerKey& key, uint64_t bytes) const;
  // Removes earlier images of the same directory.
  Result<LayerImage> Publish(const LayerKey& key) const;
  void Discard(const LayerKey& key) const;

  // Takes the lock. Removes what killed builders left, images of layers that are gone, and those
  // that were not used for longest until the rest takes `bytes` at most. Returns what was removed.
  Result<std::vector<LayerInfo>> Prune(uint64_t bytes, Deadline deadline) const;

  const std::string& root() const { return folder_.root(); }

 private:
  Result<LayerInfo> ReadInfo(const std::string& name) const;
  Result<std::vector<LayerInfo>> PruneLocked(uint64_t bytes) const;
  std::string FreshFolder(const LayerKey& key) const { return folder_.Path(".new-" + key.name); }

  const StoreFolder folder_;
  const int64_t limit_mib_;
};

}  // namespace kata::factory
