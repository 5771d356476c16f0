// SPDX-License-Identifier: Apache-2.0
#include "host/factory/state_files.h"

#include <vector>

#include <fmt/format.h>

#include "host/factory/memory_image.h"
#include "sys/files.h"

namespace kata::factory {
namespace {

constexpr size_t kMaxStateFiles = 16;

}  // namespace

uint64_t BytesOf(const StateFiles& files) {
  uint64_t bytes = 0;
  for (const auto& [name, content] : files) bytes += content.size();
  return bytes;
}

uint64_t ChecksumOf(const StateFiles& files) {
  std::string all;
  for (const auto& [name, content] : files) all.append(name).append(1, '\0').append(content);
  return Checksum(all);
}

Result<StateFiles> ReadState(const std::string& folder) {
  const std::vector<std::string> names = sys::ListDirectory(folder);
  if (names.empty()) {
    return Fail(Code::kNotFound, fmt::format("no saved state in \"{}\"", folder));
  }
  if (names.size() > kMaxStateFiles) {
    return Fail(Code::kOutOfRange,
                fmt::format("{} files of a saved state in \"{}\"; {} are the most", names.size(),
                            folder, kMaxStateFiles));
  }
  StateFiles files;
  for (const std::string& name : names) {
    files[name] = KATA_TRY(sys::ReadFile(folder + "/" + name, kMaxState));
  }
  return files;
}

Result<void> WriteState(const StateFiles& files, const std::string& folder) {
  KATA_TRY(sys::MakeDirs(folder, 0700));
  for (const auto& [name, content] : files) {
    KATA_TRY(sys::WriteFile(folder + "/" + name, content, 0600));
  }
  return {};
}

}  // namespace kata::factory
