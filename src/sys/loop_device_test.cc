// SPDX-License-Identifier: Apache-2.0
//
// Needs root, and loop devices of the kernel.
#include "sys/loop_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/mutex.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sys {
namespace {

constexpr size_t kSize = 1 << 20;

class LoopDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!MakeLoopDevices(0)) GTEST_SKIP() << "the kernel has no loop devices";
  }
  std::string MakeImage(const std::string& name, size_t size = kSize) const {
    const std::string path = dir_.path() + "/" + name;
    EXPECT_TRUE(WriteFile(path, std::string(size, 'x')));
    return path;
  }
  static loop_info64 InfoOf(const LoopDevice& device) {
    loop_info64 info{};
    EXPECT_EQ(::ioctl(device.fd.get(), LOOP_GET_STATUS64, &info), 0);
    return info;
  }

  TemporaryDir dir_{"loop-device"};
};

TEST_F(LoopDeviceTest, TheFirstOnesAreMadeOnce) {
  for (int round = 0; round < 2; ++round) {
    const auto made = MakeLoopDevices(1);
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_TRUE(Exists("/sys/block/loop0"));
  }
}

TEST_F(LoopDeviceTest, AFileIsADiskOfItsSize) {
  const auto device = AttachLoop(MakeImage("image"), false);
  ASSERT_TRUE(device) << device.error().message();
  uint64_t size = 0;
  ASSERT_EQ(::ioctl(device->fd.get(), BLKGETSIZE64, &size), 0);
  EXPECT_EQ(size, kSize);
  int block = 0;
  ASSERT_EQ(::ioctl(device->fd.get(), BLKSSZGET, &block), 0);
  // A small ext4 has blocks of 1024 bytes, an EROFS made of a tar archive of 512.
  EXPECT_EQ(block, 512);
  EXPECT_EQ(InfoOf(*device).lo_flags & (LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR),
            uint32_t{LO_FLAGS_AUTOCLEAR});
}

TEST_F(LoopDeviceTest, TheEndOfAnOddFileIsThereToo) {
  const auto device = AttachLoop(MakeImage("image", kSize + 512), true);
  ASSERT_TRUE(device) << device.error().message();
  uint64_t size = 0;
  ASSERT_EQ(::ioctl(device->fd.get(), BLKGETSIZE64, &size), 0);
  EXPECT_EQ(size, kSize + 512);
}

TEST_F(LoopDeviceTest, AReadOnlyOneCannotBeWritten) {
  const auto device = AttachLoop(MakeImage("image"), true);
  ASSERT_TRUE(device) << device.error().message();
  const UniqueFd writer(::open(device->path.c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_TRUE(!writer || ::write(writer.get(), "y", 1) < 0);
  EXPECT_NE(InfoOf(*device).lo_flags & LO_FLAGS_READ_ONLY, 0u);
}

TEST_F(LoopDeviceTest, ItGoesWithItsLastUser) {
  const std::string image = MakeImage("image");
  struct stat file{};
  ASSERT_EQ(::stat(image.c_str(), &file), 0);
  std::string path;
  {
    const auto device = AttachLoop(image, true);
    ASSERT_TRUE(device) << device.error().message();
    path = device->path;
    EXPECT_EQ(InfoOf(*device).lo_inode, file.st_ino);
  }
  // Somebody else may have the same device by now, but not for this file.
  const UniqueFd later(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  loop_info64 info{};
  if (later && ::ioctl(later.get(), LOOP_GET_STATUS64, &info) == 0) {
    EXPECT_NE(info.lo_inode, file.st_ino);
  }
}

TEST_F(LoopDeviceTest, ManyAtOnceGetOneEach) {
  constexpr int kThreads = 5;
  constexpr int kEach = 20;
  const std::string image = MakeImage("image");
  Mutex mutex;
  std::vector<LoopDevice> devices;
  std::vector<std::string> errors;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < kEach; ++k) {
        auto device = AttachLoop(image, true);
        const MutexLock lock(mutex);
        if (device) {
          devices.push_back(*std::move(device));
        } else {
          errors.push_back(device.error().message());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(errors.empty()) << errors.front();
  std::set<std::string> paths;
  for (const LoopDevice& device : devices) paths.insert(device.path);
  EXPECT_EQ(paths.size(), size_t{kThreads} * kEach);
}

TEST_F(LoopDeviceTest, RefusesWhatIsNoFileWithContent) {
  const std::string& dir = dir_.path();
  ASSERT_TRUE(WriteFile(dir + "/empty", ""));
  ASSERT_EQ(::mkfifo((dir + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(AttachLoop(dir + "/empty", true).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(AttachLoop(dir + "/fifo", true).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(AttachLoop(dir, true).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(AttachLoop(dir + "/missing", true).error().code(), Code::kNotFound);
  ASSERT_EQ(::symlink(MakeImage("image").c_str(), (dir + "/link").c_str()), 0);
  EXPECT_FALSE(AttachLoop(dir + "/link", true));
}

}  // namespace
}  // namespace kata::sys
