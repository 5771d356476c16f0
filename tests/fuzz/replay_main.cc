// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzz target over the files of a folder, without a fuzzer: replay FOLDER
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "sys/files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  int files = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1], error)) {
    const auto content = kata::sys::ReadFile(entry.path().string());
    if (!content) {
      std::fprintf(stderr, "%s\n", content.error().message().c_str());
      return 1;
    }
    std::printf("%s\n", entry.path().c_str());
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(content->data()), content->size());
    ++files;
  }
  if (error || files == 0) {
    std::fprintf(stderr, "%s: no inputs to replay\n", argv[1]);
    return 1;
  }
  std::printf("%d inputs replayed\n", files);
  return 0;
}
