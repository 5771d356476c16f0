// SPDX-License-Identifier: Apache-2.0
#include "host/factory/testing/layer_bed.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"

namespace kata::factory {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;
constexpr auto kPatience = std::chrono::seconds(60);

std::string MakeBed() {
  std::string path = ::testing::TempDir() + "layers-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) ADD_FAILURE() << "mkdtemp " << path;
  if (const auto mounted = sys::Mount("tmpfs", path, "tmpfs", 0, "mode=0755"); !mounted) {
    ADD_FAILURE() << mounted.error().message();
  }
  return path;
}

int64_t CoarseNow() {
  struct timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * kNanoseconds + now.tv_nsec;
}

}  // namespace

void LayerBed::SetUpTestSuite() {
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "root is needed";
  ASSERT_TRUE(sys::SetPropagation("/", MS_REC | MS_PRIVATE));
}

LayerBed::LayerBed() : bed_(MakeBed()), path_before_(std::getenv("PATH")) {
  EXPECT_TRUE(sys::MakeDirs(layer_));
}

LayerBed::~LayerBed() {
  ::setenv("PATH", path_before_.c_str(), 1);
  EXPECT_TRUE(sys::Unmount(bed_, MNT_DETACH));
  EXPECT_EQ(::rmdir(bed_.c_str()), 0);
}

void LayerBed::FillLayer() const {
  ASSERT_TRUE(sys::MakeDirs(layer_ + "/usr/lib/deep"));
  ASSERT_TRUE(sys::WriteFile(layer_ + "/usr/lib/deep/file", "content"));
  ASSERT_TRUE(sys::WriteFile(layer_ + "/usr/large", std::string(300'000, 'x')));
  ASSERT_EQ(::symlink("deep/file", (layer_ + "/usr/lib/link").c_str()), 0);
  ASSERT_EQ(::link((layer_ + "/usr/large").c_str(), (layer_ + "/usr/large-too").c_str()), 0);
  ASSERT_EQ(::mkfifo((layer_ + "/pipe").c_str(), 0600), 0);
  ASSERT_EQ(::mknod((layer_ + "/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ASSERT_EQ(::setxattr((layer_ + "/usr").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
}

LayerKey LayerBed::Key() const {
  auto key = Fingerprint(layer_, Deadline::After(kPatience));
  EXPECT_TRUE(key) << key.error().message();
  if (!key) return {};
  const Deadline deadline = Deadline::After(kPatience);
  while (CoarseNow() <= key->newest_change && !deadline.Passed()) ::sched_yield();
  return *key;
}

void LayerBed::ReplaceProgram(const std::string& script) const {
  // Not what stood in its place before.
  ::setenv("PATH", path_before_.c_str(), 1);
  const auto real = sys::FindExecutable("mkfs.erofs");
  const std::string folder = bed_ + "/programs";
  ASSERT_TRUE(sys::MakeDirs(folder));
  ASSERT_TRUE(sys::WriteFile(folder + "/mkfs.erofs",
                             fmt::format("#!/bin/sh\nPATH={}\nREAL={}\nBED={}\n{}\n", path_before_,
                                         real.value_or("/nonexistent"), bed_, script),
                             0755));
  ::setenv("PATH", (folder + ":" + path_before_).c_str(), 1);
}

std::string LayerBed::ReadBed(const std::string& name) const {
  return sys::ReadFile(bed_ + "/" + name).value_or("");
}

}  // namespace kata::factory
