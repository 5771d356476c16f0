// SPDX-License-Identifier: Apache-2.0
//
// host/storage/testing/verity_image.h - a file with a tree of dm-verity, whose root hash is known.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kata::storage {

inline constexpr size_t kVerityImageSize = size_t{256} * 4096;
// As printed by veritysetup 2.6.1:
//   veritysetup format --salt=6b617461 --hash-offset=1048576 --data-blocks=256 FILE FILE
inline constexpr std::string_view kVerityRootHash =
    "066f3b4c8d325d36aca55757cbbca1c5b2c7022b322f3b5f2778a57f1297289a";

// 256 blocks, and behind them the superblock that veritysetup writes there.
inline std::string VerityImage() {
  constexpr size_t kBlock = 4096;
  std::string image;
  for (size_t i = 0; i < kVerityImageSize / kBlock; ++i) {
    for (size_t j = 0; j < kBlock; ++j) {
      image += static_cast<char>((i * 7 + j * 13 + (j >> 8)) & 0xff);
    }
  }
  using namespace std::string_literals;
  image += "verity\0\0\1\0\0\0\1\0\0\0"s + "0123456789abcdef" + "sha256"s + std::string(26, '\0') +
           "\0\x10\0\0\0\x10\0\0\0\1\0\0\0\0\0\0\4\0\0\0\0\0\0\0kata"s;
  image.resize(kVerityImageSize + kBlock);
  return image;
}

}  // namespace kata::storage
