// SPDX-License-Identifier: Apache-2.0
#include "host/config/byte_size.h"

#include <string>

#include <gtest/gtest.h>

namespace kata::config {
namespace {

TEST(ByteSize, IsANumberAndAUnit) {
  EXPECT_EQ(ParseByteSize("0"), 0u);
  EXPECT_EQ(ParseByteSize("4097"), 4097u);
  EXPECT_EQ(ParseByteSize("3k"), 3072u);
  EXPECT_EQ(ParseByteSize("64M"), uint64_t{64} << 20);
  EXPECT_EQ(ParseByteSize("10G"), uint64_t{10} << 30);
  EXPECT_EQ(ParseByteSize("2t"), uint64_t{2} << 40);
}

TEST(ByteSize, NothingElseIsTaken) {
  for (const char* text : {"", "G", "-1", "+1", " 1", "1 ", "1.5G", "10GB", "10Gi", "0x10",
                           "16777216T", "18446744073709551616"}) {
    EXPECT_FALSE(ParseByteSize(text)) << text;
  }
}

}  // namespace
}  // namespace kata::config
