// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/own_pages.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/hypervisor/memory_file.h"

namespace kata::snapshot {
namespace {

using factory::Extent;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kPage = 4096;
constexpr size_t kSize = 1 << 20;

TEST(PrivateMappings, AreThoseOfTheFileWhereverItIsMapped) {
  constexpr std::string_view kMaps =
      "7f0000000000-7f0000010000 rw-p 00002000 08:01 77   /memory (deleted)\n"
      "7f0000010000-7f0000020000 rw-s 00000000 08:01 77   /memory (deleted)\n"
      "7f0000020000-7f0000030000 rw-p 00000000 08:02 77   /other\n"
      "7f0000030000-7f0000040000 r--p 00010000 08:01 77   /memory (deleted)\n"
      "7f0000040000-7f0000050000 rw-p 00000000 08:01 78   /other\n"
      "7fff00000000-7fff00010000 rw-p 00000000 00:00 0    [stack]\n";
  const uint64_t device = makedev(8, 1);
  EXPECT_THAT(ParseMaps(kMaps, device, 77),
              ElementsAre(Mapping{0x7f0000000000, 0x7f0000010000, 0x2000},
                          Mapping{0x7f0000030000, 0x7f0000040000, 0x10000}));
  for (const std::string_view odd : {"", "\n\n", "x", "7f-", "7f00-7f01", "9-1 rw-p 0 08:01 77",
                                     "1-2 rw-p", "1-2 rw-p 0 8:1", "1-2 rw-p 0 8:1 77x y"}) {
    (void)ParseMaps(odd, device, 77);
  }
  EXPECT_THAT(ParseMaps("9-1 rw-p 0 08:01 77\n", device, 77), IsEmpty());
}

TEST(OwnPages, AreThoseThatWereWrittenThroughThePrivateMapping) {
  const auto file = hypervisor::MakeMemoryFile(1);
  ASSERT_TRUE(file);
  ASSERT_EQ(::pwrite(file->get(), "base", 4, 8 * kPage), 4);
  auto* memory = static_cast<char*>(
      ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, file->get(), 0));
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(::madvise(memory, kSize, MADV_NOHUGEPAGE), 0);
  EXPECT_EQ(memory[8 * kPage], 'b') << "that it was read makes it nobody's own";
  EXPECT_EQ(memory[20 * kPage], 0);
  memory[3 * kPage + 5] = 'x';
  memory[4 * kPage] = 'y';
  memory[kSize - 1] = 'z';

  const auto to = hypervisor::MakeMemoryFile(1);
  const auto own = CopyOwnPages(::getpid(), file->get(), to->get());
  ASSERT_TRUE(own) << own.error().message();
  EXPECT_THAT(*own, ElementsAre(Extent{3 * kPage, 2 * kPage}, Extent{kSize - kPage, kPage}));
  std::string copied(kSize, '\1');
  ASSERT_EQ(::pread(to->get(), copied.data(), kSize, 0), ssize_t{kSize});
  EXPECT_EQ(copied[3 * kPage + 5], 'x');
  EXPECT_EQ(copied[4 * kPage], 'y');
  EXPECT_EQ(copied[kSize - 1], 'z');
  EXPECT_EQ(copied[8 * kPage], 0) << "what the file has is for others to copy";

  // The file's part, and the guest's memory is whole.
  ASSERT_TRUE(factory::CopyMemory(file->get(), to->get(), *own));
  ASSERT_EQ(::pread(to->get(), copied.data(), kSize, 0), ssize_t{kSize});
  EXPECT_EQ(copied, std::string(memory, kSize));
  ASSERT_EQ(::munmap(memory, kSize), 0);
  EXPECT_EQ(CopyOwnPages(::getpid(), file->get(), to->get()).error().code(), Code::kNotFound);
}

TEST(OwnPages, OfAProcessThatHasGoneAreAnError) {
  const auto file = hypervisor::MakeMemoryFile(1);
  EXPECT_FALSE(CopyOwnPages(0x7fffffff, file->get(), file->get()));
}

TEST(OwnPages, AnEntryOfThePagemapSaysSo) {
  constexpr uint64_t kPresent = uint64_t{1} << 63;
  constexpr uint64_t kSwapped = uint64_t{1} << 62;
  constexpr uint64_t kOfFile = uint64_t{1} << 61;
  EXPECT_FALSE(IsOwn(0));
  EXPECT_TRUE(IsOwn(kPresent | 1));
  EXPECT_FALSE(IsOwn(kPresent | kOfFile));
  EXPECT_TRUE(IsOwn(kSwapped));
}

}  // namespace
}  // namespace kata::snapshot
