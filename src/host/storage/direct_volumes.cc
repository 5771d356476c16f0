// SPDX-License-Identifier: Apache-2.0
#include "host/storage/direct_volumes.h"

#include <dirent.h>

#include <charconv>
#include <cstdint>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sys/files.h"

namespace kata::storage {
namespace {

using Json = nlohmann::json;

constexpr const char* kMountInfo = "mountInfo.json";
constexpr size_t kMostBytes = 64 << 10;

std::unexpected<Error> Refuse(std::string_view why) {
  return Fail(Code::kInvalidArgument, fmt::format("mountInfo.json: {}", why));
}

Result<std::string> TextOf(const Json& info, const char* key) {
  const auto found = info.find(key);
  if (found == info.end()) return std::string();
  if (!found->is_string()) return Refuse(fmt::format("\"{}\" is not a string", key));
  return found->get<std::string>();
}

Result<void> ReadGroup(const Json& info, DirectVolume* volume) {
  const auto metadata = info.find("metadata");
  if (metadata == info.end() || metadata->is_null()) return {};
  if (!metadata->is_object()) return Refuse("\"metadata\" is not an object");
  const std::string group = KATA_TRY(TextOf(*metadata, "fsGroup"));
  const std::string policy = KATA_TRY(TextOf(*metadata, "fsGroupChangePolicy"));
  volume->only_on_mismatch = policy == "OnRootMismatch";
  if (group.empty()) return {};
  gid_t number = 0;
  const char* const end = group.data() + group.size();
  const auto [stop, status] = std::from_chars(group.data(), end, number);
  if (status != std::errc() || stop != end) {
    return Refuse(fmt::format("fsGroup \"{}\" is not a number", group));
  }
  volume->group = number;
  return {};
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  constexpr size_t kGroup = 3;
  constexpr unsigned kBits = 6;
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += kGroup) {
    const std::string_view group = bytes.substr(at, kGroup);
    uint32_t value = 0;
    for (size_t i = 0; i < kGroup; ++i) {
      value = value << 8 | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
    }
    for (size_t i = 0; i <= kGroup; ++i) {
      const uint32_t digit = value >> ((kGroup - i) * kBits) & ((1U << kBits) - 1);
      text += i <= group.size() ? kDigits[digit] : '=';
    }
  }
  return text;
}

Result<DirectVolume> ParseDirectVolume(std::string_view text) {
  const Json info = Json::parse(text, nullptr, false);
  if (!info.is_object()) return Refuse("not a JSON object");
  const std::string type = KATA_TRY(TextOf(info, "volume-type"));
  if (type != "block") {
    return Refuse(fmt::format("\"volume-type\" is \"{}\", and \"block\" alone is known", type));
  }
  DirectVolume volume{.device = KATA_TRY(TextOf(info, "device")),
                      .fs_type = KATA_TRY(TextOf(info, "fstype")),
                      .options = {}};
  if (!volume.device.starts_with('/')) return Refuse("\"device\" is not an absolute path");
  if (volume.fs_type.empty()) return Refuse("\"fstype\" is missing");
  KATA_TRY(ReadGroup(info, &volume));
  const auto options = info.find("options");
  if (options == info.end() || options->is_null()) return volume;
  if (!options->is_array()) return Refuse("\"options\" is not a list");
  for (const Json& word : *options) {
    if (!word.is_string()) return Refuse("\"options\" holds something else than strings");
    volume.options.push_back(word.get<std::string>());
  }
  return volume;
}

std::string DirectVolumes::DirectoryOf(const std::string& volume) const {
  return fmt::format("{}/{}", root_, Base64Url(volume));
}

Result<std::optional<DirectVolume>> DirectVolumes::Find(const std::string& volume) const {
  const std::string path = fmt::format("{}/{}", DirectoryOf(volume), kMountInfo);
  auto text = sys::ReadFile(path, kMostBytes);
  if (!text) {
    const int error = text.error().error_number();
    if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG) return std::nullopt;
    return std::unexpected(std::move(text).error());
  }
  return KATA_TRY_WITHIN(fmt::format("direct volume \"{}\"", volume), ParseDirectVolume(*text));
}

Result<void> DirectVolumes::Add(const std::string& volume, const std::string& mount_info) const {
  if (!volume.starts_with('/')) {
    return Fail(Code::kInvalidArgument, fmt::format("volume path \"{}\" is not absolute", volume));
  }
  KATA_TRY(ParseDirectVolume(mount_info));
  const std::string directory = DirectoryOf(volume);
  if (sys::Exists(fmt::format("{}/{}", directory, kMountInfo))) {
    return Fail(Code::kAlreadyExists,
                fmt::format("direct volume \"{}\": it is there already; remove it first", volume));
  }
  constexpr mode_t kPrivate = 0700;
  KATA_TRY(sys::MakeDirs(directory, kPrivate));
  return sys::WriteFile(fmt::format("{}/{}", directory, kMountInfo), mount_info, 0600);
}

Result<void> DirectVolumes::Remove(const std::string& volume) const {
  return sys::RemoveTree(DirectoryOf(volume));
}

Result<void> DirectVolumes::AddUser(const std::string& volume,
                                    const std::string& sandbox_id) const {
  return sys::WriteFile(fmt::format("{}/{}", DirectoryOf(volume), sandbox_id), "", 0600);
}

void DirectVolumes::RemoveUser(const std::string& volume, const std::string& sandbox_id) const {
  (void)sys::RemoveFile(fmt::format("{}/{}", DirectoryOf(volume), sandbox_id));
}

Result<std::vector<std::string>> DirectVolumes::UsersOf(const std::string& volume) const {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(DirectoryOf(volume).c_str()),
                                                      ::closedir);
  if (!directory) {
    return Fail(Code::kNotFound,
                fmt::format("\"{}\" is no direct volume; make it one by kata-runtime "
                            "direct-volume add",
                            volume));
  }
  std::vector<std::string> users;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != kMountInfo) users.emplace_back(name);
  }
  return users;
}

}  // namespace kata::storage
