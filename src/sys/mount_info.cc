// SPDX-License-Identifier: Apache-2.0
#include <sys/sysmacros.h>

#include <charconv>

#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sys {
namespace {

// The word up to the next space; `text` keeps the rest.
std::string_view TakeWord(std::string_view& text) {
  const size_t end = text.find(' ');
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return word;
}

template <class Integer>
bool ParseNumber(std::string_view text, Integer* number) {
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, *number);
  return status == std::errc() && stop == end;
}

bool ParseLine(std::string_view line, MountInfo* info) {
  if (!ParseNumber(TakeWord(line), &info->id)) return false;
  if (!ParseNumber(TakeWord(line), &info->parent_id)) return false;
  const std::string_view device = TakeWord(line);
  const size_t colon = device.find(':');
  unsigned major_number = 0;
  unsigned minor_number = 0;
  if (colon == std::string_view::npos || !ParseNumber(device.substr(0, colon), &major_number) ||
      !ParseNumber(device.substr(colon + 1), &minor_number)) {
    return false;
  }
  info->device = makedev(major_number, minor_number);
  info->root = UnescapeMountInfo(TakeWord(line));
  info->mount_point = UnescapeMountInfo(TakeWord(line));
  info->options = TakeWord(line);
  for (;;) {
    if (line.empty()) return false;
    const std::string_view word = TakeWord(line);
    if (word == "-") break;
    if (!info->propagation.empty()) info->propagation += ' ';
    info->propagation += word;
  }
  info->type = TakeWord(line);
  info->source = UnescapeMountInfo(TakeWord(line));
  info->super_options = TakeWord(line);
  return !info->type.empty();
}

}  // namespace

std::string UnescapeMountInfo(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<MountInfo> ParseMountInfo(std::string_view text) {
  std::vector<MountInfo> mounts;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    MountInfo info;
    if (ParseLine(text.substr(0, end), &info)) mounts.push_back(std::move(info));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return mounts;
}

Result<std::vector<MountInfo>> ReadMountInfo(const std::string& path) {
  return ParseMountInfo(KATA_TRY(ReadFile(path, 64 << 20)));
}

}  // namespace kata::sys
