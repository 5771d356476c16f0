// SPDX-License-Identifier: Apache-2.0
//
// What a client of kata-monitor may send.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz_support.h"
#include "host/monitor/http_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto request =
      kata::monitor::ParseHead(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!request) return 0;
  kata::fuzz::Check(request->path.starts_with('/'));
  kata::fuzz::Check(request->query.size() <= 16);
  return 0;
}
