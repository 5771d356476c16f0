// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_guard.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/storage/share.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/testing/mount_test.h"

namespace kata::storage {
namespace {

using testing::HasSubstr;

// A mount namespace such as virtiofsd makes itself: it hears of mounts, and has no root but the
// share. Null where it could not be made.
sys::UniqueFd EnterAsServer(const std::string& root) {
  sys::UniqueFd made;
  std::thread([&] {
    if (::unshare(CLONE_NEWNS | CLONE_FS) != 0) return;
    if (!sys::SetPropagation("/", MS_SLAVE | MS_REC)) return;
    auto mine = sys::Open("/proc/thread-self/ns/mnt", O_RDONLY);
    const auto old = sys::Open("/", O_RDONLY | O_DIRECTORY);
    if (!mine || !old || ::chdir(root.c_str()) != 0) return;
    if (::syscall(SYS_pivot_root, ".", ".") != 0 || ::fchdir(old->get()) != 0) return;
    if (::umount2(".", MNT_DETACH) == 0) made = *std::move(mine);
  }).join();
  return made;
}

// One in which the share is not, as where the front end is.
sys::UniqueFd EnterAsHost() {
  sys::UniqueFd made;
  std::thread([&] {
    if (::unshare(CLONE_NEWNS | CLONE_FS) != 0) return;
    if (auto mine = sys::Open("/proc/thread-self/ns/mnt", O_RDONLY)) made = *std::move(mine);
  }).join();
  return made;
}

int ErrnoOf(int result) { return result == 0 ? 0 : errno; }

// A layer's directory as Docker makes it, and a server that has begun before it is added.
class UpperGuardTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    char name[] = "/tmp/kata-upper-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    layer_ = dir_ + "/layer";
    for (const char* each : {"diff", "work/work", "merged"}) {
      ASSERT_TRUE(sys::MakeDirs(layer_ + "/" + each));
    }
    ASSERT_TRUE(sys::WriteFile(layer_ + "/link", "ABC"));
    ASSERT_TRUE(sys::WriteFile(layer_ + "/lower", "l/DEF"));
    host_ = EnterAsHost();
    ASSERT_TRUE(host_);
    id_ = "upper-test-" + std::to_string(::getpid());
    share_ = std::make_unique<SharedDirectory>(SharedDirectory::Create(id_).value());
    server_ = EnterAsServer(share_->served());
    ASSERT_TRUE(server_);
  }
  void TearDown() override {
    if (share_) {
      EXPECT_TRUE(share_->Remove());
    }
    if (!dir_.empty()) {
      EXPECT_TRUE(sys::RemoveTree(dir_));
    }
  }
  Result<UpperDirectories> Add(const std::string& container = "c1", bool read_only = false) {
    return share_->AddUpper(container, {.upper = layer_ + "/diff", .work = layer_ + "/work"},
                            read_only);
  }
  // What the guest does, with its directories' path.
  void AsGuest(const UpperDirectories& shown, std::function<void(std::string layer)> work) {
    const std::string upper =
        shown.upper.substr(std::string(SharedDirectory::kGuestDirectory).size());
    const auto did = sys::RunInMountNamespace(server_.get(), [&]() -> Result<void> {
      work("/" + upper.substr(0, upper.rfind('/')));
      return {};
    });
    ASSERT_TRUE(did) << did.error().message();
  }
  std::string dir_, layer_, id_;
  std::unique_ptr<SharedDirectory> share_;
  sys::UniqueFd host_, server_;
};

TEST_F(UpperGuardTest, FilesMoveBetweenUpperAndWork) {
  AsGuest(Add().value(), [](const std::string& layer) {
    EXPECT_TRUE(sys::WriteFile(layer + "/work/kata/new", "x"));
    EXPECT_EQ(ErrnoOf(::rename((layer + "/work/kata/new").c_str(), (layer + "/diff/new").c_str())),
              0);
  });
  EXPECT_EQ(sys::ReadFile(layer_ + "/diff/new").value_or(""), "x");
}

TEST_F(UpperGuardTest, NoNameBesideThemCanBeReplaced) {
  AsGuest(Add().value(), [](const std::string& layer) {
    EXPECT_EQ(ErrnoOf(::symlink("/etc", (layer + "/link2").c_str())), 0);
    for (const char* name : {"/diff", "/work", "/merged", "/link", "/lower", "/work/work"}) {
      const std::string path = layer + name;
      EXPECT_EQ(ErrnoOf(::rename(path.c_str(), (layer + "/gone").c_str())), EBUSY) << name;
      EXPECT_NE(ErrnoOf(::rename((layer + "/link2").c_str(), path.c_str())), 0) << name;
      EXPECT_NE(ErrnoOf(::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, (layer + "/link2").c_str(),
                                    RENAME_EXCHANGE)),
                0)
          << name;
      EXPECT_NE(ErrnoOf(::rmdir(path.c_str())), 0) << name;
      EXPECT_NE(ErrnoOf(::unlink(path.c_str())), 0) << name;
    }
    EXPECT_EQ(sys::WriteFile(layer + "/lower", "../../../etc").error().error_number(), EROFS);
    EXPECT_EQ(sys::WriteFile(layer + "/merged/x", "x").error().error_number(), EROFS);
    EXPECT_NE(sys::ReadFile(layer + "/lower").value_or(""), "l/DEF");
  });
  EXPECT_EQ(sys::ReadFile(layer_ + "/lower").value_or(""), "l/DEF");
}

TEST_F(UpperGuardTest, WhatHoldsTheNamesCannotBeReached) {
  AsGuest(Add().value(), [](const std::string& layer) {
    for (const char* path : {"/.uppers/hidden/0", "/.uppers/hidden/0/diff"}) {
      EXPECT_FALSE(sys::Exists(path)) << path;
    }
    EXPECT_EQ(sys::WriteFile("/.uppers/hidden/x", "x").error().error_number(), EROFS);
    EXPECT_EQ(sys::WriteFile(layer + "/../x", "x").error().error_number(), EROFS);
  });
}

// What serves the guest has files open that were there before.
TEST_F(UpperGuardTest, TheNamesAreHeldWhenTheContainerHasEnded) {
  const auto shown = Add().value();
  AsGuest(shown, [&](const std::string& layer) {
    const auto open = sys::Open(layer, O_PATH);
    ASSERT_TRUE(open);
    share_->RemoveContainer("c1");
    EXPECT_EQ(ErrnoOf(::renameat(open->get(), "diff", open->get(), "gone")), EBUSY);
    EXPECT_EQ(ErrnoOf(::openat(open->get(), "lower", O_WRONLY | O_CLOEXEC)), EROFS);
  });
}

TEST_F(UpperGuardTest, WhatTheGuestMadeBesideThemIsTakenBack) {
  AsGuest(Add().value(), [](const std::string& layer) {
    EXPECT_EQ(ErrnoOf(::symlink("/etc", (layer + "/mapped").c_str())), 0);
    EXPECT_TRUE(sys::MakeDirs(layer + "/committed/deep"));
    EXPECT_EQ(ErrnoOf(::chmod(layer.c_str(), 0777)), 0);
    EXPECT_EQ(ErrnoOf(::chown(layer.c_str(), 12, 13)), 0);
  });
  const auto mounted_anew = sys::RunInMountNamespace(host_.get(), [&]() -> Result<void> {
    EXPECT_EQ(ErrnoOf(::rmdir((layer_ + "/merged").c_str())), 0);
    return sys::MakeDirs(layer_ + "/merged");
  });
  EXPECT_TRUE(mounted_anew);
  ASSERT_TRUE(share_->Remove());
  share_.reset();
  struct stat status{};
  EXPECT_NE(::lstat((layer_ + "/mapped").c_str(), &status), 0);
  EXPECT_FALSE(sys::Exists(layer_ + "/committed"));
  EXPECT_FALSE(sys::Exists(layer_ + "/work/kata"));
  for (const char* name : {"/diff", "/work/work", "/merged", "/link", "/lower"}) {
    EXPECT_TRUE(sys::Exists(layer_ + name)) << name;
  }
  ASSERT_EQ(::stat(layer_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755u);
  EXPECT_EQ(status.st_uid, 0u);
  EXPECT_EQ(status.st_gid, 0u);
}

TEST_F(UpperGuardTest, TheHostMakesAndRemovesWhatItWants) {
  ASSERT_TRUE(Add());
  const auto did = sys::RunInMountNamespace(host_.get(), [&]() -> Result<void> {
    EXPECT_EQ(ErrnoOf(::rmdir((layer_ + "/merged").c_str())), 0);
    EXPECT_TRUE(sys::MakeDirs(layer_ + "/merged"));
    EXPECT_TRUE(sys::WriteFile(layer_ + "/lower", "other"));
    return sys::RemoveTree(layer_);
  });
  EXPECT_TRUE(did) << did.error().message();
  EXPECT_FALSE(sys::Exists(layer_));
  share_->RemoveContainer("c1");
  EXPECT_FALSE(sys::Exists(share_->served() + "/.uppers/0"));
}

TEST_F(UpperGuardTest, AContainerThatComesAgainFindsItsUpperLayer) {
  const auto first = Add().value();
  share_->RemoveContainer("c1");
  const auto again = Add().value();
  EXPECT_EQ(first.upper, again.upper);
  EXPECT_EQ(first.work, again.work);
}

TEST_F(UpperGuardTest, ReadOnlyItIsTheUpperLayerAlone) {
  ASSERT_TRUE(sys::WriteFile(layer_ + "/diff/file", "x"));
  const auto shown = Add("c1", true).value();
  EXPECT_EQ(shown.work, "");
  AsGuest(shown, [](const std::string& container) {
    EXPECT_EQ(sys::ReadFile(container + "/upper/file").value_or(""), "x");
    EXPECT_EQ(sys::WriteFile(container + "/upper/file", "y").error().error_number(), EROFS);
    EXPECT_FALSE(sys::Exists(container + "/lower"));
  });
  EXPECT_FALSE(sys::Exists(layer_ + "/work/kata"));
  share_->RemoveContainer("c1");
  AsGuest(shown, [](const std::string& container) { EXPECT_FALSE(sys::Exists(container)); });
}

TEST_F(UpperGuardTest, RefusesWhatItCannotHold) {
  const auto apart =
      share_->AddUpper("c1", {.upper = layer_ + "/diff", .work = dir_ + "/work"}, false);
  EXPECT_EQ(apart.error().code(), Code::kFailedPrecondition);
  ASSERT_EQ(::symlink("/etc", (layer_ + "/zz").c_str()), 0);
  const auto link = Add();
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(link.error().message(), HasSubstr("\"zz\""));
  EXPECT_FALSE(sys::Exists(share_->served() + "/.uppers/0"));
  EXPECT_FALSE(sys::Exists(layer_ + "/work/kata"));
  ASSERT_EQ(::unlink((layer_ + "/zz").c_str()), 0);
  EXPECT_TRUE(Add());
}

// A guest that was not held, of another program, may have put it there.
TEST_F(UpperGuardTest, AnUpperLayerIsNoSymbolicLink) {
  ASSERT_EQ(::rename((layer_ + "/diff").c_str(), (layer_ + "/x").c_str()), 0);
  ASSERT_EQ(::symlink("/etc", (layer_ + "/diff").c_str()), 0);
  EXPECT_FALSE(Add());
}

}  // namespace
}  // namespace kata::storage
