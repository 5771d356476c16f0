// SPDX-License-Identifier: Apache-2.0
#include "upper/stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "proto/upper.pb.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"
#include "upper/area.h"

namespace kata::upper {
namespace {

constexpr uint64_t kRoom = 4 << 20;

class StreamTest : public ::testing::Test {
 protected:
  Part PartOf(uint64_t bytes) const { return {.fd = file_.get(), .begin = kBlock, .bytes = bytes}; }
  Area TheArea() const { return {.fd = file_.get(), .begin = kBlock, .bytes = kRoom}; }
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }

  sys::TemporaryDir dir_{"upper-stream"};
  sys::UniqueFd file_ = *sys::Open(dir_.path() + "/disk", O_RDWR | O_CREAT, 0600);
};

TEST_F(StreamTest, WhatWasWrittenIsRead) {
  StreamWriter writer(PartOf(kRoom));
  Entry entry;
  entry.set_name("a name");
  const std::string bytes(3 << 20, 'x');
  ASSERT_TRUE(writer.Write(entry));
  ASSERT_TRUE(writer.Write(bytes));
  ASSERT_TRUE(writer.Write(entry));
  const auto length = writer.Finish();
  ASSERT_TRUE(length);
  EXPECT_GT(*length, bytes.size());

  StreamReader reader(PartOf(*length));
  Entry read;
  ASSERT_TRUE(reader.Read(&read));
  EXPECT_EQ(read.name(), "a name");
  std::string again(bytes.size(), '\0');
  ASSERT_TRUE(reader.Read(again.data(), again.size()));
  EXPECT_EQ(again, bytes);
  ASSERT_TRUE(reader.Read(&read));
  EXPECT_EQ(reader.Read(&read).error().code(), Code::kDataLoss);
}

TEST_F(StreamTest, MoreThanThePartTakesIsRefused) {
  StreamWriter writer(PartOf(2 * kBlock));
  const std::string bytes(2 * kBlock, 'x');
  ASSERT_TRUE(writer.Write(bytes));
  ASSERT_TRUE(writer.Write("y"));
  EXPECT_EQ(writer.Finish().error().code(), Code::kResourceExhausted);
}

TEST_F(StreamTest, AMessageOfAnyLengthIsNotBelieved) {
  ASSERT_EQ(::pwrite(file_.get(), "\xff\xff\xff\xff", 4, kBlock), 4);
  StreamReader reader(PartOf(kBlock));
  Entry entry;
  EXPECT_EQ(reader.Read(&entry).error().code(), Code::kDataLoss);
}

TEST_F(StreamTest, AnAreaThatNobodyHasWrittenToSaysNothing) {
  EXPECT_EQ(*ReadHostGeneration(TheArea()), 0U);
  EXPECT_EQ(*ReadStreamState(TheArea()), std::nullopt);
  ASSERT_TRUE(WriteHostGeneration(TheArea(), 7));
  EXPECT_EQ(*ReadHostGeneration(TheArea()), 7U);
}

TEST_F(StreamTest, AStreamThatIsNotWholeIsNoStream) {
  ASSERT_TRUE(sys::WriteFile(Path("file"), std::string(kRoom, 'x')));
  ASSERT_TRUE(sys::MakeDirs(Path("layer")));
  ASSERT_TRUE(WriteLayer(TheArea(), Path("layer"), 0, {}));
  EXPECT_TRUE(ReadStreamState(TheArea())->has_value());
  const auto written = WriteLayer(TheArea(), dir_.path(), 0, {});
  EXPECT_EQ(written.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(*ReadStreamState(TheArea()), std::nullopt);
}

TEST_F(StreamTest, AStreamLongerThanItsPlaceIsDamaged) {
  ASSERT_TRUE(sys::MakeDirs(Path("layer")));
  ASSERT_TRUE(WriteLayer(TheArea(), Path("layer"), 0, {}));
  const Area shorter{.fd = file_.get(), .begin = kBlock, .bytes = 2 * kBlock};
  EXPECT_EQ(ReadStreamState(shorter).error().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace kata::upper
