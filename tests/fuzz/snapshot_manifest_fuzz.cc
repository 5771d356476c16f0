// SPDX-License-Identifier: Apache-2.0
//
// What a snapshot says of itself: as it is, and as the body of one whose checksum is right, so that
// the values behind it are reached. What parses must come back the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "fuzz_support.h"
#include "host/factory/memory_image.h"
#include "host/snapshot/manifest.h"

namespace {

void Read(std::string_view text) {
  const auto manifest = kata::snapshot::Parse(text);
  if (!manifest) return;
  const std::string again = Format(*manifest);
  const auto reread = kata::snapshot::Parse(again);
  kata::fuzz::Check(reread && Format(*reread) == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Read(text);
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) return 0;
  const std::string body = json.dump();
  Read(fmt::format(R"({{"format":{},"checksum":{},"snapshot":{}}})", kata::snapshot::kFormat,
                   kata::factory::Checksum(body), body));
  return 0;
}
