// SPDX-License-Identifier: Apache-2.0
//
// factory/layer_build.h - making images of layers.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "host/factory/layer_key.h"
#include "host/factory/layer_store.h"

namespace kata::factory {

// Whether an image is made in no time: fewer than 64 entries, less than 1 MiB. Such layers are made
// where they are wanted (Docker has one of each container's own); the store keeps the others.
bool IsSmall(const LayerKey& key);

struct ErofsProgram {
  std::string path;
  std::string version;  // "1.5"
};
// mkfs.erofs in $PATH, else in the usual directories below `root`.
// Errors  kNotFound            with the package to install
//         kFailedPrecondition  it is too old
Result<ErofsProgram> FindMkfsErofs(const std::string& root = {});

// Makes the file `to`, which must not exist, an image of the layer. Kills the program at the
// deadline, and leaves nothing where it fails. Does not look whether the layer has changed.
// Errors  those of FindMkfsErofs, kResourceExhausted, kDeadlineExceeded
Result<void> MakeLayerImage(const LayerKey& key, const std::string& to, Deadline deadline);

// Makes and publishes the image of the layer in `directory`. Returns the one that is there already,
// if there is one by the time that other builders have finished. Notes a failure. `progress` is
// told what begins. Errors  those of Fingerprint, MakeLayerImage and the store; kAborted: the layer
// changed
Result<LayerImage> BuildLayer(const LayerStore& store, const std::string& directory,
                              const std::function<void(std::string_view)>& progress);

}  // namespace kata::factory
