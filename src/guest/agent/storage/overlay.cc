// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/overlay.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/mount_options.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

constexpr const char* kType = "overlay";
constexpr const char* kLinksParameter = "/sys/module/overlay/parameters/looks_up_links";
constexpr const char* kLayerKey = "lowerdir+";
constexpr std::string_view kLayerWord = "lowerdir+=";
constexpr std::string_view kCreateDirectory =
    "io.katacontainers.volume.overlayfs.create_directory=";

}  // namespace

bool HasOverlayDriver() {
  auto context = sys::FsContext::Open(kType);
  return context && context->SetString(kLayerKey, "/");
}

bool OverlayKeepsLinks() { return sys::Exists(kLinksParameter); }

Result<void> MountOverlay(const agent::Storage& storage, const std::string& point) {
  for (const std::string& option : storage.driver_options()) {
    if (!option.starts_with(kCreateDirectory)) continue;
    KATA_TRY(sys::MakeDirs(option.substr(kCreateDirectory.size())));
  }
  KATA_TRY(sys::MakeDirs(point));
  const std::vector<std::string> options(storage.options().begin(), storage.options().end());
  const bool by_layer = std::ranges::any_of(
      options, [](const std::string& word) { return word.starts_with(kLayerWord); });
  if (by_layer) return sys::MountNew(kType, storage.source(), options, point);
  // All layers in one value are longer than a context takes.
  return sys::Mount(storage.source(), point, kType, sys::ParseMountOptions(options));
}

}  // namespace kata::guest
