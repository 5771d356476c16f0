// SPDX-License-Identifier: Apache-2.0
#include "host/factory/memory_image.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sys/fd.h"
#include "sys/testing/file_bytes.h"

namespace kata::factory {
namespace {

using sys::testing::Get;
using sys::testing::Put;

constexpr off_t kSize = 4 << 20;

sys::UniqueFd MakeFile() {
  sys::UniqueFd file(::memfd_create("memory", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.get(), kSize), 0);
  return file;
}

TEST(MemoryImage, KeepsWhatIsThereAndNothingElse) {
  const sys::UniqueFd memory = MakeFile();
  Put(memory.get(), 5, "first");
  Put(memory.get(), 3 * kBlock - 2, "over a border");
  Put(memory.get(), 2 << 20, std::string(kBlock, '\0'));  // there, but all zero
  Put(memory.get(), kSize - 3, "end");
  const sys::UniqueFd stored(::memfd_create("stored", MFD_CLOEXEC));
  const auto image = SaveMemory(memory.get(), stored.get());
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->extents,
            (std::vector<Extent>{{0, kBlock}, {2 * kBlock, 2 * kBlock}, {kSize - kBlock, kBlock}}));
  EXPECT_EQ(image->bytes(), 4 * kBlock);

  const sys::UniqueFd copy = MakeFile();
  const auto loaded = LoadMemory(stored.get(), *image, copy.get());
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(Get(copy.get(), 0, kSize), Get(memory.get(), 0, kSize));
  struct stat status{};
  ASSERT_EQ(::fstat(copy.get(), &status), 0);
  EXPECT_EQ(static_cast<uint64_t>(status.st_blocks) * 512, 4 * kBlock);
}

TEST(MemoryImage, AFlippedBitIsFoundAndAShortFileToo) {
  const sys::UniqueFd memory = MakeFile();
  Put(memory.get(), 100, "content");
  const sys::UniqueFd stored(::memfd_create("stored", MFD_CLOEXEC));
  const auto image = SaveMemory(memory.get(), stored.get());
  ASSERT_TRUE(image);
  EXPECT_TRUE(LoadMemory(stored.get(), *image, -1));
  Put(stored.get(), 100, "Content");
  EXPECT_EQ(LoadMemory(stored.get(), *image, -1).error().code(), Code::kDataLoss);
  ASSERT_EQ(::ftruncate(stored.get(), kBlock / 2), 0);
  EXPECT_EQ(LoadMemory(stored.get(), *image, -1).error().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace kata::factory
