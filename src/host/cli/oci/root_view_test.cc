// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/root_view.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sys/fd.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

namespace fs = std::filesystem;

// A process in a mount namespace of its own, and a folder for roots and volumes.
class RootViewTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    char path[] = "/tmp/kata-view-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    base_ = path;
    for (const char* name : {"/root/etc", "/root/data", "/root/proc", "/root/tmp", "/volume"}) {
      fs::create_directories(base_ + name);
    }
    ASSERT_TRUE(sys::WriteFile(base_ + "/root/etc/name", "container"));
    ASSERT_TRUE(sys::WriteFile(base_ + "/volume/file", "volume"));
    sys::Pipe ready = *sys::MakePipe();
    process_ = ::fork();
    if (process_ == 0) {
      const bool own = ::unshare(CLONE_NEWNS) == 0;
      (void)sys::WriteAll(ready.write.get(), own ? "y" : "n");
      ::pause();
      ::_exit(0);
    }
    char own = 0;
    ASSERT_EQ(::read(ready.read.get(), &own, 1), 1);
    if (own != 'y') GTEST_SKIP() << "needs CAP_SYS_ADMIN";
  }
  void TearDown() override {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    if (!base_.empty()) fs::remove_all(base_);
  }
  void AddMount(const char* type, const std::string& source, const char* destination,
                std::vector<std::string> options = {}) {
    auto& mount = *spec_.add_mounts();
    mount.set_type(type);
    mount.set_source(source);
    mount.set_destination(destination);
    for (std::string& option : options) mount.add_options(std::move(option));
  }
  std::string Inside(const std::string& path) const {
    return fmt::format("/proc/{}/root{}", process_, path);
  }
  Result<void> Show() { return ShowRootAt(process_, spec_, base_ + "/root"); }

  std::string base_;
  pid_t process_ = -1;
  ::kata::oci::Spec spec_;
};

TEST_F(RootViewTest, ShowsTheContainersFilesAndNothingElse) {
  ASSERT_TRUE(Show());
  EXPECT_EQ(sys::ReadFile(Inside("/etc/name")).value_or(""), "container");
  EXPECT_FALSE(sys::Exists(Inside(base_)));
  ASSERT_TRUE(sys::WriteFile(Inside("/etc/new"), "written"));
  EXPECT_EQ(sys::ReadFile(base_ + "/root/etc/new").value_or(""), "written");
}

TEST_F(RootViewTest, ShowsVolumesWhereTheContainerHasThem) {
  AddMount("bind", base_ + "/volume", "/data", {"rbind", "rw"});
  AddMount("bind", base_ + "/volume/file", "/etc/name", {"rbind", "ro"});
  ASSERT_TRUE(Show());
  EXPECT_EQ(sys::ReadFile(Inside("/data/file")).value_or(""), "volume");
  EXPECT_EQ(sys::ReadFile(Inside("/etc/name")).value_or(""), "volume");
  EXPECT_EQ(sys::WriteFile(Inside("/etc/name"), "x").error().error_number(), EROFS);
  ASSERT_TRUE(sys::WriteFile(Inside("/data/new"), "written"));
  EXPECT_TRUE(sys::Exists(base_ + "/volume/new"));
}

TEST_F(RootViewTest, HidesWhatOnlyTheGuestHas) {
  AddMount("proc", "proc", "/proc");
  AddMount("tmpfs", "tmpfs", "/tmp");
  AddMount("bind", base_ + "/volume", "/tmp/volume", {"bind"});
  ASSERT_TRUE(Show());
  EXPECT_TRUE(fs::is_empty(Inside("/proc")));
  EXPECT_EQ(sys::WriteFile(Inside("/tmp/x"), "x").error().error_number(), EROFS);
  EXPECT_EQ(sys::ReadFile(Inside("/tmp/volume/file")).value_or(""), "volume");
  EXPECT_TRUE(fs::is_empty(base_ + "/root/tmp"));
}

TEST_F(RootViewTest, LinksOfAnImageLeadNowhereElse) {
  fs::remove(base_ + "/root/data");
  fs::create_symlink(base_ + "/volume", base_ + "/root/data");
  AddMount("bind", base_ + "/volume/file", "/data/file", {"bind"});
  ASSERT_TRUE(Show());
  EXPECT_EQ(sys::ReadFile(base_ + "/volume/file").value_or(""), "volume");
  EXPECT_TRUE(sys::Exists(Inside(base_ + "/volume/file")));
}

TEST_F(RootViewTest, AReadOnlyRootStaysReadOnly) {
  spec_.mutable_root()->set_readonly(true);
  AddMount("bind", base_ + "/volume", "/data", {"bind"});
  ASSERT_TRUE(Show());
  EXPECT_EQ(sys::WriteFile(Inside("/etc/new"), "x").error().error_number(), EROFS);
  EXPECT_TRUE(sys::WriteFile(Inside("/data/new"), "x"));
}

TEST_F(RootViewTest, NeverTouchesASharedNamespace) {
  const auto shown = ShowRootAt(::getpid(), spec_, base_ + "/root");
  ASSERT_FALSE(shown);
  EXPECT_EQ(shown.error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace kata::cli::oci
