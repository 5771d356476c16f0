// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/hotplug.h"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxAttribute = 65536;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

// Names in `directory` that are `prefix` and a number.
std::vector<std::string> Numbered(const std::string& directory, std::string_view prefix) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(prefix) || name.size() == prefix.size()) continue;
    const std::string_view number = name.substr(prefix.size());
    if (number.find_first_not_of("0123456789") == std::string_view::npos) names.emplace_back(name);
  }
  return names;
}

bool Reads(const std::string& path, std::string_view value) {
  const auto content = sys::ReadFile(path, kMaxAttribute);
  return content && Trim(*content) == value;
}

Result<uint32_t> ParseNumber(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is no number", text));
  }
  return value;
}

}  // namespace

uint64_t MemoryBlockSize(const std::string& root) {
  const auto content =
      sys::ReadFile(root + "/devices/system/memory/block_size_bytes", kMaxAttribute);
  if (!content) return 0;
  const std::string_view text = Trim(*content);
  uint64_t size = 0;
  std::from_chars(text.data(), text.data() + text.size(), size, 16);
  return size;
}

bool SupportsMemoryProbe(const std::string& root) {
  return sys::Exists(root + "/devices/system/memory/probe");
}

Result<void> ProbeMemory(const std::string& root, std::span<const uint64_t> addresses) {
  for (const uint64_t address : addresses) {
    KATA_TRY(
        sys::WriteControl(root + "/devices/system/memory/probe", fmt::format("{:#x}", address)));
  }
  return {};
}

Result<void> OnlineMemoryByItself(const std::string& root) {
  const std::string control = root + "/devices/system/memory/auto_online_blocks";
  if (!Reads(control, "offline")) return {};
  return sys::WriteControl(control, "online");
}

std::vector<uint32_t> MemoryBlocks(const std::string& root) {
  constexpr std::string_view kPrefix = "memory";
  std::vector<uint32_t> blocks;
  for (const std::string& name : Numbered(root + "/devices/system/memory", kPrefix)) {
    const auto number = ParseNumber(std::string_view(name).substr(kPrefix.size()));
    if (number) blocks.push_back(*number);
  }
  std::ranges::sort(blocks);
  return blocks;
}

bool MemoryBlockIsOn(const std::string& root, uint32_t block) {
  return Reads(fmt::format("{}/devices/system/memory/memory{}/state", root, block), "online");
}

Result<void> OnlineMemory(const std::string& root) {
  const std::string directory = root + "/devices/system/memory";
  for (const std::string& name : Numbered(directory, "memory")) {
    const std::string state = fmt::format("{}/{}/state", directory, name);
    if (Reads(state, "offline")) KATA_TRY(sys::WriteControl(state, "online"));
  }
  return {};
}

Result<void> OnlineCpus(const std::string& root) {
  const std::string directory = root + "/devices/system/cpu";
  for (const std::string& name : Numbered(directory, "cpu")) {
    const std::string online = fmt::format("{}/{}/online", directory, name);
    if (Reads(online, "0")) KATA_TRY(sys::WriteControl(online, "1"));
  }
  return {};
}

Result<uint32_t> CountOnlineCpus(const std::string& root) {
  const std::string list =
      KATA_TRY(sys::ReadFile(root + "/devices/system/cpu/online", kMaxAttribute));
  return CountInList(Trim(list));
}

Result<uint32_t> CountInList(std::string_view list) {
  uint32_t count = 0;
  while (!list.empty()) {
    const std::string_view range = list.substr(0, list.find(','));
    list.remove_prefix(std::min(range.size() + 1, list.size()));
    const size_t dash = range.find('-');
    const uint32_t first = KATA_TRY(ParseNumber(range.substr(0, dash)));
    uint32_t last = first;
    if (dash != std::string_view::npos) last = KATA_TRY(ParseNumber(range.substr(dash + 1)));
    constexpr uint32_t kMax = 1 << 20;
    if (last < first || last > kMax) {
      return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is no range", range));
    }
    count += last - first + 1;
  }
  return count;
}

}  // namespace kata::guest
