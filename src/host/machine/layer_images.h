// SPDX-License-Identifier: Apache-2.0
//
// host/machine/layer_images.h - the images of a root file system's layers that there are.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/config/config.h"
#include "sys/fd.h"

namespace kata::sandbox {

struct LayerImages {
  struct Image {
    std::string key;
    sys::UniqueFd fd;  // for reading
  };
  std::vector<Image> images;         // in the order of the layers; complete where none is missing
  size_t made_here = 0;              // that were so small that they were made on the spot
  std::vector<std::string> missing;  // layers whose images the store is to have made
};

// Looks at every layer, the directories of `layers`, which no path of may be a link, and for its
// image: the file that is mounted there (storage/mounted_image.h), else the one in the store. Small
// ones are made in the new directory `scratch`, which is left; not where other images are missing.
// About 5 ms for 1,000 files.
//
// Errors  kUnimplemented      a layer that no image can stand for
//         kFailedPrecondition there is nothing to make images with
//         kCancelled          `stop` was asked for: noticed between two files
//         others              as factory::Fingerprint and factory::MakeLayerImage; all say why
Result<LayerImages> FindLayerImages(const std::vector<std::string>& layers,
                                    const config::FactoryConfig& config, const std::string& scratch,
                                    const std::stop_token& stop = {});

}  // namespace kata::sandbox
