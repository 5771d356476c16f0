// SPDX-License-Identifier: Apache-2.0
//
// What a snapshot says of its container, and the file of a checkpoint's directory. What parses must
// come back the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz_support.h"
#include "host/plan/saved_container.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto container = kata::sandbox::ParseSavedContainer(text)) {
    const auto again = kata::sandbox::ParseSavedContainer(Format(*container));
    kata::fuzz::Check(again && *again == *container);
  }
  if (const auto snapshot = kata::sandbox::ParseCheckpoint(text)) {
    const auto again =
        kata::sandbox::ParseCheckpoint(kata::sandbox::FormatCheckpoint(*snapshot, "/store"));
    kata::fuzz::Check(again && *again == *snapshot);
  }
  return 0;
}
