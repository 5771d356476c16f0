// SPDX-License-Identifier: Apache-2.0
//
// Needs root, as the front ends' layers belong to it.
#include "host/storage/upper_exchange.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include <gtest/gtest.h>

#include "host/storage/data_image.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::storage {
namespace {

constexpr int64_t kSize = 64 << 20;

class UpperExchangeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sys::MakeDirs(Upper("")));
    ASSERT_TRUE(sys::MakeDirs(Guest("")));
    const auto directory = sys::Open(dir_.path(), O_RDONLY | O_DIRECTORY);
    disk_ = *MakeDataImage(directory->get(), kSize);
  }
  std::string Upper(const std::string& name) const { return dir_.path() + "/upper/" + name; }
  std::string Guest(const std::string& name) const { return dir_.path() + "/guest/" + name; }
  UpperExchange Open() const { return *UpperExchange::Open(disk_.get(), Upper("")); }

  // The guest's side, which knows no more than the words.
  upper::Area AreaOf(const UpperExchange& exchange) const {
    const std::string words = exchange.words();
    upper::Area area{.fd = disk_.get()};
    const auto begin = std::from_chars(words.data(), words.data() + words.size(), area.begin);
    std::from_chars(begin.ptr + 1, words.data() + words.size(), area.bytes);
    return area;
  }
  uint64_t Leave(const UpperExchange& exchange, uint64_t base = 0) const {
    constexpr timespec kMuchLater{.tv_sec = int64_t{1} << 40, .tv_nsec = 0};
    return upper::WriteLayer(AreaOf(exchange), Guest(""), base, kMuchLater)->generation;
  }

  sys::TemporaryDir dir_{"upper-exchange"};
  sys::UniqueFd disk_;
};

TEST_F(UpperExchangeTest, TheAreaLiesBehindTheFileSystem) {
  const UpperExchange exchange = Open();
  EXPECT_EQ(AreaOf(exchange).begin, static_cast<uint64_t>(kSize));
  struct stat status{};
  ASSERT_EQ(::fstat(disk_.get(), &status), 0);
  EXPECT_EQ(static_cast<uint64_t>(status.st_size), AreaOf(exchange).begin + AreaOf(exchange).bytes);
  EXPECT_EQ(Open().words(), exchange.words());
}

TEST_F(UpperExchangeTest, WhatIsNoFileSystemIsRefused) {
  ASSERT_EQ(::pwrite(disk_.get(), "\0\0", 2, 1024 + 0x38), 2);
  EXPECT_EQ(UpperExchange::Open(disk_.get(), Upper("")).error().code(), Code::kDataLoss);
}

TEST_F(UpperExchangeTest, TheGuestGetsTheHostsLayerAndGivesItsOwnBack) {
  ASSERT_TRUE(sys::WriteFile(Upper("mine"), "1"));
  UpperExchange exchange = Open();
  ASSERT_TRUE(exchange.Give());
  EXPECT_EQ(*exchange.Take(), "") << "its own is not the guest's";
  const auto state = *upper::ReadStreamState(AreaOf(exchange));
  ASSERT_TRUE(state);
  ASSERT_TRUE(upper::ReadLayer(AreaOf(exchange), *state, Guest(""), {}));
  EXPECT_EQ(*sys::ReadFile(Guest("mine")), "1");
  EXPECT_EQ(*upper::ReadHostGeneration(AreaOf(exchange)), state->generation());

  ASSERT_TRUE(sys::RemoveFile(Guest("mine")));
  ASSERT_TRUE(sys::WriteFile(Guest("its"), "2"));
  const uint64_t first = Leave(exchange);
  EXPECT_EQ(*exchange.Take(), "1 files, 1 bytes, 1 removed");
  EXPECT_EQ(*sys::ReadFile(Upper("its")), "2");
  EXPECT_FALSE(sys::Exists(Upper("mine")));
  EXPECT_EQ(*exchange.Take(), "");
  // From here on, what has changed.
  EXPECT_EQ(*upper::ReadHostGeneration(AreaOf(exchange)), first);
  Leave(exchange, first);
  EXPECT_EQ(*exchange.Take(), "0 files, 0 bytes, 0 removed");
}

TEST_F(UpperExchangeTest, ChangesOfSomethingElseAreRefusedAndAllIsAskedFor) {
  UpperExchange exchange = Open();
  ASSERT_TRUE(exchange.Give());
  ASSERT_TRUE(sys::WriteFile(Guest("its"), "2"));
  Leave(exchange, 77);
  EXPECT_EQ(exchange.Take().error().code(), Code::kDataLoss);
  EXPECT_EQ(*upper::ReadHostGeneration(AreaOf(exchange)), 0U);
  Leave(exchange);
  ASSERT_TRUE(exchange.Take());
  EXPECT_EQ(*sys::ReadFile(Upper("its")), "2");
}

TEST_F(UpperExchangeTest, TheRoomIsGivenBack) {
  UpperExchange exchange = Open();
  ASSERT_TRUE(exchange.Forget());
  struct stat before{};
  ASSERT_EQ(::fstat(disk_.get(), &before), 0);
  ASSERT_TRUE(sys::WriteFile(Guest("large"), std::string(8 << 20, 'x')));
  Leave(exchange);
  ASSERT_TRUE(exchange.Take());
  struct stat after{};
  ASSERT_EQ(::fstat(disk_.get(), &after), 0);
  EXPECT_LT(after.st_blocks - before.st_blocks, 1000);
}

}  // namespace
}  // namespace kata::storage
