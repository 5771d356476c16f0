// SPDX-License-Identifier: Apache-2.0
#include "host/machine/mount_watch.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>

#include <gtest/gtest.h>

#include "base/deadline.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

class Changes {
 public:
  void Count() {
    const MutexLock lock(mutex_);
    ++count_;
    changed_.NotifyAll();
  }
  bool AwaitMoreThan(int count) {
    const MutexLock lock(mutex_);
    return changed_.WaitUntil(mutex_, Deadline::After(std::chrono::seconds(30)),
                              [&]() KATA_REQUIRES(mutex_) { return count_ > count; });
  }
  int count() {
    const MutexLock lock(mutex_);
    return count_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int count_ KATA_GUARDED_BY(mutex_) = 0;
};

TEST(MountWatch, TellsOfMountsOfANamespaceFromTheFirstSetUntilStop) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounts need root";
  const sys::TemporaryDir directory{"mount-watch"};
  Changes changes;
  MountWatch watch([&] { changes.Count(); });
  ASSERT_TRUE(watch.Set({}));
  const auto own = sys::Open("/proc/self/ns/mnt", O_RDONLY);
  ASSERT_TRUE(own);
  ASSERT_TRUE(watch.Set({own->get(), -1}));
  EXPECT_TRUE(changes.AwaitMoreThan(0));
  int before = changes.count();
  ASSERT_TRUE(sys::Mount("tmpfs", directory.path(), "tmpfs", 0UL));
  EXPECT_TRUE(changes.AwaitMoreThan(before));
  before = changes.count();
  ASSERT_EQ(::umount2(directory.path().c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(changes.AwaitMoreThan(before));
  watch.Stop();
  before = changes.count();
  ASSERT_TRUE(sys::Mount("tmpfs", directory.path(), "tmpfs", 0UL));
  ASSERT_EQ(::umount2(directory.path().c_str(), MNT_DETACH), 0);
  EXPECT_EQ(changes.count(), before);
  EXPECT_FALSE(watch.Set({STDIN_FILENO})) << "no mount namespace";
}

}  // namespace
}  // namespace kata::sandbox
