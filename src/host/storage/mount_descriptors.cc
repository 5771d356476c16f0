// SPDX-License-Identifier: Apache-2.0
#include "host/storage/mount_descriptors.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace kata::storage {
namespace {

constexpr std::string_view kFormatWord = "format";
constexpr std::string_view kMkdirWord = "mkdir";
constexpr std::string_view kMkfsWord = "mkfs";
constexpr std::string_view kMkdirOption = "X-containerd.mkdir.";
constexpr std::string_view kVerityOption = "X-containerd.dmverity=";
constexpr std::string_view kPrivateOption = "X-containerd.";
constexpr std::string_view kDeviceOption = "device=";
constexpr std::string_view kOpen = "{{";
constexpr std::string_view kClose = "}}";

constexpr int kOctal = 8;
constexpr mode_t kMaxMode = 07777;

bool IsTransform(std::string_view word) {
  return word == kFormatWord || word == kMkdirWord || word == kMkfsWord;
}

bool IsTransformed(const std::string& type) {
  return IsTransform(std::string_view(type).substr(0, type.find('/'))) &&
         type.find('/') != std::string::npos;
}

bool IsImage(const RootfsMount& mount) {
  return IsDiskType(mount.type) && std::ranges::any_of(mount.options, IsLoop);
}

std::vector<std::string_view> SplitWords(std::string_view text) {
  std::vector<std::string_view> words;
  for (;;) {
    const size_t begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find(' '), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

template <class Integer>
bool ParseNumber(std::string_view text, Integer* number, int base = 10) {
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, *number, base);
  return !text.empty() && status == std::errc() && stop == end;
}

// What a mount's templates can name: the images of each mount before it.
using ImagesOfMounts = std::vector<std::vector<size_t>>;

// Reads the values of the last mount.
class DescriptorReader {
 public:
  DescriptorReader(const RootfsMount& mount, const ImagesOfMounts& images)
      : mount_(mount), images_(images) {}

  Result<DescribedRoot> Read();

 private:
  Result<void> ReadType();
  Result<void> ReadOption(const std::string& option);
  Result<void> ReadDirectory(std::string_view value);
  // A colon between templates and paths separates; "{{ overlay 0 2 }}" stands for several.
  Result<std::vector<DescribedPath>> ReadPaths(std::string_view value) const;
  Result<DescribedPath> ReadPath(std::string_view value) const;
  Result<std::vector<size_t>> Expand(std::string_view text) const;
  Result<std::vector<size_t>> ImagesOf(std::string_view number) const;

  const RootfsMount& mount_;
  const ImagesOfMounts& images_;
  bool format_ = false;
  bool mkdir_ = false;
  DescribedRoot root_;
};

Result<void> DescriptorReader::ReadType() {
  std::string_view type = mount_.type;
  for (size_t slash = type.find('/'); slash != std::string_view::npos; slash = type.find('/')) {
    const std::string_view word = type.substr(0, slash);
    if (word != kFormatWord && word != kMkdirWord) {
      return Fail(Code::kUnimplemented,
                  fmt::format("type \"{}\": \"{}\" is not known here", mount_.type, word));
    }
    (word == kFormatWord ? format_ : mkdir_) = true;
    type.remove_prefix(slash + 1);
  }
  root_.overlay = type == "overlay";
  if (!root_.overlay && type != "bind") {
    return Fail(Code::kUnimplemented, fmt::format("type \"{}\": neither an overlay nor a bind "
                                                  "mount is made of the images",
                                                  mount_.type));
  }
  return {};
}

Result<std::vector<size_t>> DescriptorReader::ImagesOf(std::string_view number) const {
  size_t index = 0;
  if (!ParseNumber(number, &index) || index >= images_.size()) {
    return Fail(Code::kInvalidArgument,
                fmt::format("mount {} of {} before it", number, images_.size()));
  }
  return images_[index];
}

Result<std::vector<size_t>> DescriptorReader::Expand(std::string_view text) const {
  const auto words = SplitWords(text);
  if (words.size() == 2 && words[0] == "mount") return ImagesOf(words[1]);
  constexpr size_t kOverlayWords = 3;
  size_t first = 0;
  size_t last = 0;
  if (words.size() != kOverlayWords || words[0] != "overlay" || !ParseNumber(words[1], &first) ||
      !ParseNumber(words[2], &last)) {
    return Fail(Code::kUnimplemented, "only \"mount N\" and \"overlay N M\" are known");
  }
  KATA_TRY(ImagesOf(words[1]));
  KATA_TRY(ImagesOf(words[2]));
  std::vector<size_t> all;
  for (size_t i = first;; i += first < last ? 1 : -1) {
    all.insert(all.end(), images_[i].begin(), images_[i].end());
    if (i == last) return all;
  }
}

Result<std::vector<DescribedPath>> DescriptorReader::ReadPaths(std::string_view value) const {
  std::vector<DescribedPath> paths;
  while (!value.empty()) {
    std::vector<size_t> images;
    if (format_ && value.starts_with(kOpen)) {
      const size_t close = value.find(kClose);
      const std::string_view text = value.substr(0, std::min(close, value.size() - 2) + 2);
      if (close == std::string_view::npos) {
        return Fail(Code::kInvalidArgument, fmt::format("template \"{}\": no end", value));
      }
      images =
          KATA_TRY_WITHIN(fmt::format("template \"{}\"", text), Expand(value.substr(2, close - 2)));
      value.remove_prefix(close + 2);
    }
    const std::string_view rest = value.substr(0, value.find(':'));
    if (!rest.empty() && (!rest.starts_with('/') || rest.find(kOpen) != std::string_view::npos)) {
      return Fail(Code::kInvalidArgument, fmt::format("\"{}\": not an absolute path", rest));
    }
    if (images.empty()) {
      if (rest.empty()) return Fail(Code::kInvalidArgument, "an empty path");
      paths.push_back({std::nullopt, std::string(rest)});
    }
    for (const size_t image : images) paths.push_back({image, std::string(rest)});
    value.remove_prefix(std::min(rest.size() + 1, value.size()));
  }
  return paths;
}

Result<DescribedPath> DescriptorReader::ReadPath(std::string_view value) const {
  auto paths = KATA_TRY(ReadPaths(value));
  if (paths.size() != 1) {
    return Fail(Code::kInvalidArgument, fmt::format("{} paths where one belongs", paths.size()));
  }
  return std::move(paths.front());
}

// "path=PATH[:MODE[:UID:GID]]"; the colons of PATH are templates' alone.
Result<void> DescriptorReader::ReadDirectory(std::string_view value) {
  constexpr std::string_view kPath = "path=";
  if (!mkdir_ || !value.starts_with(kPath)) {
    return Fail(Code::kUnimplemented, "only path=PATH[:MODE[:UID:GID]] of a mkdir mount is known");
  }
  value.remove_prefix(kPath.size());
  const size_t colon = value.find(':');
  DescribedDirectory directory{.path = KATA_TRY(ReadPath(value.substr(0, colon)))};
  if (colon != std::string_view::npos) {
    value.remove_prefix(colon + 1);
    const std::string_view mode = value.substr(0, value.find(':'));
    if (!ParseNumber(mode, &directory.mode, kOctal) || directory.mode > kMaxMode) {
      return Fail(Code::kInvalidArgument, fmt::format("\"{}\": no mode of a directory", mode));
    }
    if (mode.size() != value.size() && value.substr(mode.size()) != ":0:0") {
      return Fail(Code::kUnimplemented, "a directory of another owner than root");
    }
  }
  root_.directories.push_back(std::move(directory));
  return {};
}

Result<void> DescriptorReader::ReadOption(const std::string& option) {
  const size_t equals = option.find('=');
  const std::string name = option.substr(0, equals);
  const std::string_view value = equals == std::string::npos
                                     ? std::string_view()
                                     : std::string_view(option).substr(equals + 1);
  if (option.starts_with(kMkdirOption)) {
    return ReadDirectory(std::string_view(option).substr(kMkdirOption.size()));
  }
  if (root_.overlay && name == "lowerdir") {
    root_.lowers = KATA_TRY(ReadPaths(value));
  } else if (root_.overlay && name == "upperdir") {
    root_.upper = KATA_TRY(ReadPath(value));
  } else if (root_.overlay && name == "workdir") {
    root_.work = KATA_TRY(ReadPath(value));
  } else if (option.starts_with(kPrivateOption) ||
             (format_ && option.find(kOpen) != std::string::npos)) {
    return Fail(Code::kUnimplemented, "not known here");
  } else {
    root_.options.push_back(option);
  }
  return {};
}

Result<DescribedRoot> DescriptorReader::Read() {
  KATA_TRY(ReadType());
  if (!root_.overlay) {
    root_.lowers = KATA_TRY_WITHIN("source", ReadPaths(mount_.source));
    // The layers of one image of metadata are seen through an overlay.
    root_.overlay = root_.lowers.size() > 1;
  }
  for (const std::string& option : mount_.options) {
    KATA_TRY_WITHIN(fmt::format("option \"{}\"", option), ReadOption(option));
  }
  if (root_.lowers.empty()) return Fail(Code::kInvalidArgument, "no lower directory");
  if (root_.upper.has_value() != root_.work.has_value()) {
    return Fail(Code::kInvalidArgument, "one of upperdir and workdir is missing");
  }
  return std::move(root_);
}

// One image, or those that an image of metadata is made of, the top one first.
Result<std::vector<ImageFile>> ReadImage(const RootfsMount& mount) {
  if (!IsImage(mount)) {
    return Fail(Code::kUnimplemented,
                fmt::format("type \"{}\" of \"{}\": only files with a file system (option loop) "
                            "can stand before the last mount",
                            mount.type, mount.source));
  }
  ImageFile image{.path = mount.source, .type = mount.type};
  std::vector<std::string> devices;
  for (const std::string& option : mount.options) {
    if (option == "ro") {
      image.read_only = true;
    } else if (option.starts_with(kVerityOption)) {
      image.verity = option.substr(kVerityOption.size());
    } else if (option.starts_with(kDeviceOption)) {
      devices.push_back(option.substr(kDeviceOption.size()));
    } else if (option.starts_with(kPrivateOption)) {
      return Fail(Code::kUnimplemented, fmt::format("option \"{}\": not known here", option));
    } else if (!IsLoop(option) && option != "rw") {
      image.options.push_back(option);
    }
  }
  if (devices.empty()) return std::vector{std::move(image)};
  if (!image.verity.empty() || image.type != "erofs") {
    return Fail(Code::kUnimplemented,
                fmt::format("\"{}\": devices of a file system of type {}{}", image.path, image.type,
                            image.verity.empty() ? "" : " with dm-verity"));
  }
  std::vector<ImageFile> layers;
  for (auto device = devices.rbegin(); device != devices.rend(); ++device) {
    layers.push_back({.path = *device, .type = image.type, .read_only = true});
  }
  return layers;
}

}  // namespace

bool HasDescriptors(const std::vector<RootfsMount>& mounts) {
  const auto described = [](const RootfsMount& mount) { return IsTransformed(mount.type); };
  return std::ranges::any_of(mounts, described) ||
         (mounts.size() == 1 && mounts[0].type == "erofs" && IsImage(mounts[0]));
}

Result<DescribedRoot> ParseDescriptors(const std::vector<RootfsMount>& mounts) {
  std::vector<ImageFile> images;
  ImagesOfMounts of_mounts;
  const auto take = [&](const RootfsMount& mount) -> Result<void> {
    auto found = KATA_TRY(ReadImage(mount));
    auto& numbers = of_mounts.emplace_back();
    for (ImageFile& image : found) {
      numbers.push_back(images.size());
      images.push_back(std::move(image));
    }
    return {};
  };
  const bool bare = !mounts.empty() && !IsTransformed(mounts.back().type);
  const size_t before = mounts.size() - (bare ? 0 : 1);
  for (size_t i = 0; i < before; ++i) {
    KATA_TRY_WITHIN(fmt::format("root file system: mount {}", i), take(mounts[i]));
  }
  // An image alone is what a bind mount of it would be.
  const RootfsMount alone{.type = "format/bind", .source = "{{ mount 0 }}", .options = {}};
  const RootfsMount& last = bare ? alone : mounts.back();
  DescribedRoot root = KATA_TRY_WITHIN(fmt::format("root file system: mount {}", before),
                                       DescriptorReader(last, of_mounts).Read());
  root.images = std::move(images);
  return root;
}

DescribedRoot LowersOf(const DescribedRoot& root) {
  DescribedRoot lowers = root;
  lowers.upper.reset();
  lowers.work.reset();
  lowers.directories.clear();
  lowers.overlay = lowers.lowers.size() > 1;
  if (!lowers.overlay) lowers.options = {"ro"};
  return lowers;
}

std::string PlaceOf(const DescribedPath& path, const std::vector<std::string>& places) {
  return path.image ? places[*path.image] + path.path : path.path;
}

RootfsMount RootMountAt(const DescribedRoot& root, const std::vector<std::string>& places) {
  RootfsMount mount{.type = root.overlay ? "overlay" : "bind",
                    .source = root.overlay ? "overlay" : PlaceOf(root.lowers[0], places),
                    .options = root.options};
  if (!root.overlay) return mount;
  // What a bind mount is told and an overlay is not.
  std::erase_if(mount.options, [](const std::string& option) { return option == "rbind"; });
  if (root.upper) {
    mount.options.push_back("upperdir=" + PlaceOf(*root.upper, places));
    mount.options.push_back("workdir=" + PlaceOf(*root.work, places));
  }
  std::string lowers;
  for (const DescribedPath& lower : root.lowers) {
    lowers += (lowers.empty() ? "lowerdir=" : ":") + PlaceOf(lower, places);
  }
  mount.options.push_back(std::move(lowers));
  return mount;
}

}  // namespace kata::storage
