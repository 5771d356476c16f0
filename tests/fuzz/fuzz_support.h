// SPDX-License-Identifier: Apache-2.0
//
// fuzz_support.h - what every fuzz target uses.
//
// A target is a source file with LLVMFuzzerTestOneInput() and a folder of small inputs in
// corpus/<target>/. It is built twice: with libFuzzer (option KATA_FUZZ, clang), and with
// replay_main.cc as a unit test that runs over the inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace kata::fuzz {

// Ends the process when a promise of the code under test is broken.
inline void Check(bool promise) {
  if (!promise) std::abort();
}

// The input as choices followed by the bytes of the peer.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  // 0 when the input is used up.
  uint8_t TakeByte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return byte;
  }
  std::string_view Rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace kata::fuzz
