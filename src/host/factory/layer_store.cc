// SPDX-License-Identifier: Apache-2.0
#include "host/factory/layer_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "sys/files.h"

namespace kata::factory {
namespace {

using nlohmann::json;
using std::chrono::system_clock;

constexpr int kLayerVersion = 1;
constexpr size_t kMaxLayerManifest = 64 << 10;
constexpr uint64_t kTenth = 10;
constexpr uint64_t kMostByDefault = uint64_t{20} << 30;
constexpr char kImage[] = "/image";
constexpr char kManifest[] = "/manifest.json";

std::unexpected<Error> DamagedImage(std::string_view what) {
  return Fail(Code::kDataLoss, fmt::format("image of a layer: {}", what));
}

std::string FormatLayer(const LayerInfo& info) {
  return json{{"version", kLayerVersion},
              {"created", info.created},
              {"directory", info.directory},
              {"entries", info.entries},
              {"image_bytes", info.image_bytes}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<LayerInfo> ParseLayer(const std::string& text) {
  const json read = json::parse(text, nullptr, false);
  LayerInfo info;
  // All wrong types end here.
  try {
    if (read.at("version").get<int>() != kLayerVersion) return DamagedImage("of another version");
    info.created = read.at("created").get<int64_t>();
    info.directory = read.at("directory").get<std::string>();
    info.entries = read.at("entries").get<uint64_t>();
    info.image_bytes = read.at("image_bytes").get<uint64_t>();
  } catch (const json::exception&) {
    return DamagedImage("its manifest cannot be read");
  }
  return info;
}

Result<uint64_t> SizeOf(const sys::UniqueFd& image) {
  struct stat status{};
  if (::fstat(image.get(), &status) != 0) return FailErrno("stat", "image of a layer");
  if (!S_ISREG(status.st_mode)) return DamagedImage("it is no file");
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

Result<LayerInfo> LayerStore::ReadInfo(const std::string& name) const {
  const std::string text =
      KATA_TRY(sys::ReadFile(folder_.Path(name) + kManifest, kMaxLayerManifest));
  auto info = KATA_TRY(ParseLayer(text));
  info.name = name;
  info.used = KATA_TRY(folder_.LastUse(name));
  return info;
}

Result<LayerImage> LayerStore::Open(const LayerKey& key) const {
  const std::string folder = folder_.Path(key.name);
  if (!sys::Exists(folder)) {
    return Fail(Code::kNotFound, fmt::format("layer \"{}\" has no image yet", key.directory));
  }
  KATA_TRY(folder_.CheckOwner());
  LayerImage image{.path = folder + kImage};
  const auto opened = [&]() -> Result<void> {
    image.info = KATA_TRY(ReadInfo(key.name));
    image.fd = KATA_TRY(sys::Open(image.path, O_RDONLY | O_NOFOLLOW));
    if (KATA_TRY(SizeOf(image.fd)) != image.info.image_bytes)
      return DamagedImage("of another size");
    return {};
  }();
  if (!opened) {
    // Somebody may have removed it just now.
    if (!sys::Exists(folder)) return Fail(Code::kNotFound, opened.error().message());
    return Fail(Code::kDataLoss, opened.error().message());
  }
  folder_.NoteUse(key.name);
  return image;
}

Result<std::vector<LayerInfo>> LayerStore::List() const {
  std::vector<LayerInfo> list;
  for (const std::string& name : folder_.Names()) {
    if (auto info = ReadInfo(name)) list.push_back(*std::move(info));
  }
  return list;
}

Result<uint64_t> LayerStore::Limit() const {
  if (limit_mib_ > 0) return static_cast<uint64_t>(limit_mib_) << 20;
  struct statvfs space{};
  if (::statvfs(root().c_str(), &space) != 0) return FailErrno("statvfs", root());
  return std::min(space.f_blocks * space.f_frsize / kTenth, kMostByDefault);
}

Result<std::string> LayerStore::Begin(const LayerKey& key, uint64_t bytes) const {
  const uint64_t limit = KATA_TRY(Limit());
  if (bytes > limit) {
    return Fail(Code::kResourceExhausted,
                fmt::format("layer \"{}\" may take {} MiB as an image, and {} MiB are the most for "
                            "all of them; raise layer_cache_size_mb in configuration.toml",
                            key.directory, bytes >> 20, limit >> 20));
  }
  KATA_TRY(PruneLocked(limit - bytes));
  KATA_TRY(folder_.CheckSpace(bytes));
  return KATA_TRY(folder_.MakeFolder(".new-" + key.name)) + kImage;
}

Result<LayerImage> LayerStore::Publish(const LayerKey& key) const {
  const std::string fresh = FreshFolder(key);
  const sys::UniqueFd image = KATA_TRY(sys::Open(fresh + kImage, O_RDONLY | O_NOFOLLOW));
  LayerInfo info{.name = key.name,
                 .directory = key.directory,
                 .entries = key.entries,
                 .image_bytes = KATA_TRY(SizeOf(image)),
                 .created = system_clock::to_time_t(system_clock::now())};
  KATA_TRY(sys::WriteFile(fresh + kManifest, FormatLayer(info), 0400));
  const sys::UniqueFd manifest = KATA_TRY(sys::Open(fresh + kManifest, O_RDONLY));
  if (::fchmod(image.get(), 0400) != 0) return FailErrno("chmod", fresh);
  for (const sys::UniqueFd* file : {&image, &manifest}) {
    if (::fsync(file->get()) != 0) return FailErrno("fsync", fresh);
  }
  KATA_TRY(folder_.Publish(fresh, key.name, true));
  // The directory is no longer what its earlier images say.
  for (const LayerInfo& earlier : KATA_TRY(List())) {
    if (earlier.directory == key.directory && earlier.name != key.name) {
      LogIfFailed(Remove(earlier.name));
    }
  }
  return Open(key);
}

void LayerStore::Discard(const LayerKey& key) const {
  LogIfFailed(sys::RemoveTree(FreshFolder(key)));
}

Result<std::vector<LayerInfo>> LayerStore::Prune(uint64_t bytes, Deadline deadline) const {
  const sys::UniqueFd lock = KATA_TRY(Lock(deadline));
  return PruneLocked(bytes);
}

Result<std::vector<LayerInfo>> LayerStore::PruneLocked(uint64_t bytes) const {
  folder_.RemoveLeavings();
  std::vector<LayerInfo> removed;
  uint64_t total = 0;
  for (const std::string& name : folder_.Names()) {
    auto info = ReadInfo(name);
    // What cannot be read, or whose layer is gone, is of no use, but takes place.
    if (info && sys::Exists(info->directory) && total + info->image_bytes <= bytes) {
      total += info->image_bytes;
      continue;
    }
    KATA_TRY(Remove(name));
    if (info) removed.push_back(*std::move(info));
  }
  return removed;
}

}  // namespace kata::factory
