// SPDX-License-Identifier: Apache-2.0
#include "host/machine/layer_images.h"

#include <fcntl.h>

#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/factory/layer_build.h"
#include "host/factory/layer_key.h"
#include "host/factory/layer_store.h"
#include "host/storage/mounted_image.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sandbox {
namespace {

// Of one small image, which is a matter of milliseconds on an idle host.
constexpr auto kMakeTime = std::chrono::seconds(10);

// Nothing where it is to be made.
Result<std::optional<sys::UniqueFd>> OpenStored(const factory::LayerStore& store,
                                                const factory::LayerKey& key) {
  auto image = store.Open(key);
  if (image) return std::move(image->fd);
  if (image.error().code() == Code::kDataLoss) {
    log::Warn("the image of a layer is damaged; it is made anew",
              {{"error", image.error().message()}});
    LogIfFailed(store.Remove(key.name));
  } else if (image.error().code() != Code::kNotFound) {
    return std::unexpected(std::move(image).error());
  }
  if (store.FailedLately(key)) {
    return Fail(Code::kFailedPrecondition,
                fmt::format("the image of \"{}\" could not be made lately", key.directory));
  }
  // Without it the builder would fail after every start.
  KATA_TRY(factory::FindMkfsErofs());
  return std::nullopt;
}

Result<sys::UniqueFd> Make(const factory::LayerKey& key, const std::string& scratch,
                           Deadline deadline) {
  KATA_TRY(sys::MakeDirs(scratch, 0700));
  const std::string path = fmt::format("{}/{}", scratch, key.name);
  KATA_TRY(factory::MakeLayerImage(key, path, deadline));
  return sys::Open(path, O_RDONLY);
}

}  // namespace

Result<LayerImages> FindLayerImages(const std::vector<std::string>& layers,
                                    const config::FactoryConfig& config, const std::string& scratch,
                                    const std::stop_token& stop) {
  const factory::LayerStore store(config.layers_path, config.layer_cache_size_mb);
  LayerImages found;
  std::vector<std::pair<size_t, factory::LayerKey>> small;
  const auto mounts = KATA_TRY(sys::ReadMountInfo());
  for (const std::string& layer : layers) {
    if (auto mounted = storage::FindMountedImage(mounts, layer)) {
      found.images.push_back({std::move(mounted->key), std::move(mounted->file)});
      continue;
    }
    factory::LayerKey key =
        KATA_TRY(factory::Fingerprint(layer, Deadline::Never(), factory::kMostLayerEntries, stop));
    LayerImages::Image& image = found.images.emplace_back();
    image.key = key.name;
    if (factory::IsSmall(key)) {
      small.emplace_back(found.images.size() - 1, std::move(key));
      continue;
    }
    auto stored = KATA_TRY(OpenStored(store, key));
    if (stored) {
      image.fd = *std::move(stored);
    } else {
      found.missing.push_back(layer);
    }
  }
  if (!found.missing.empty()) return found;
  for (const auto& [index, key] : small) {
    if (stop.stop_requested()) return Fail(Code::kCancelled, "nobody wants the images any more");
    found.images[index].fd = KATA_TRY(Make(key, scratch, Deadline::After(kMakeTime)));
  }
  found.made_here = small.size();
  return found;
}

}  // namespace kata::sandbox
