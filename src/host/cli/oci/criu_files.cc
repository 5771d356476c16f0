// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/criu_files.h"

#include <algorithm>
#include <cstdint>

#include "sys/files.h"

namespace kata::cli::oci {
namespace {

constexpr uint32_t kServiceMagic = 0x55105940;
constexpr uint32_t kStatisticsMagic = 0x57093306;

void AddNumber(std::string* text, uint32_t number) {
  for (int i = 0; i < 4; ++i) text->push_back(static_cast<char>(number >> (i * 8)));
}

void AddVarint(std::string* text, uint32_t number) {
  constexpr uint32_t kMore = 0x80;
  for (; number >= kMore; number >>= 7) text->push_back(static_cast<char>(number | kMore));
  text->push_back(static_cast<char>(number));
}

// One of a message's unsigned members.
void AddMember(std::string* message, uint32_t number, uint32_t value) {
  AddVarint(message, number << 3);
  AddVarint(message, value);
}

}  // namespace

std::string DumpStatistics(std::chrono::microseconds took) {
  // freezing_time, frozen_time, memdump_time, memwrite_time, pages_scanned, pages_skipped_parent,
  // pages_written; there is one time for all.
  constexpr uint32_t kFrozenTime = 2;
  constexpr uint32_t kLastRequired = 7;
  const auto micros =
      static_cast<uint32_t>(std::clamp<int64_t>(took.count(), 0, int64_t{UINT32_MAX}));
  std::string dump;
  for (uint32_t member = 1; member <= kLastRequired; ++member) {
    AddMember(&dump, member, member == kFrozenTime ? micros : 0);
  }
  constexpr uint32_t kDumpMember = 1 << 3 | 2;
  std::string entry;
  AddVarint(&entry, kDumpMember);
  AddVarint(&entry, static_cast<uint32_t>(dump.size()));
  entry += dump;
  std::string file;
  AddNumber(&file, kServiceMagic);
  AddNumber(&file, kStatisticsMagic);
  AddNumber(&file, static_cast<uint32_t>(entry.size()));
  return file + entry;
}

Result<void> WriteCriuFiles(const std::string& images, const std::string& work,
                            std::chrono::microseconds took) {
  constexpr mode_t kMode = 0600;
  KATA_TRY(sys::WriteFile(images + "/inventory.img", "", kMode));
  return sys::WriteFile(work + "/stats-dump", DumpStatistics(took), kMode);
}

}  // namespace kata::cli::oci
