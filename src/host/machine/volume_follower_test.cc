// SPDX-License-Identifier: Apache-2.0
#include "host/machine/volume_follower.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/deadline.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

// A guest's copies as {path: content}.
class Copies {
 public:
  CopyTarget Target() {
    return {.copy = [this](const agent::GuestFile& file) -> Result<void> {
              const MutexLock lock(mutex_);
              if (failures_ > 0 && failures_-- > 0) return Fail(Code::kDeadlineExceeded, "busy");
              files_[file.path] = file.content;
              changed_.NotifyAll();
              return {};
            },
            .remove = [this](const std::vector<std::string>& paths) -> Result<void> {
              const MutexLock lock(mutex_);
              for (const std::string& path : paths) files_.erase(path);
              changed_.NotifyAll();
              return {};
            }};
  }
  bool Await(std::move_only_function<bool(const std::map<std::string, std::string>&)> holds) {
    const MutexLock lock(mutex_);
    return changed_.WaitUntil(mutex_, Deadline::After(std::chrono::seconds(30)),
                              [&]() KATA_REQUIRES(mutex_) { return holds(files_); });
  }
  // The content of what a name leads to, by way of ..data.
  std::string Read(const std::string& path, const std::string& key) {
    const MutexLock lock(mutex_);
    return files_[path + "/" + files_[path + "/..data"] + "/" + key];
  }
  size_t size() {
    const MutexLock lock(mutex_);
    return files_.size();
  }
  void FailNext(int failures) {
    const MutexLock lock(mutex_);
    failures_ = failures;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::string> files_ KATA_GUARDED_BY(mutex_);
  int failures_ KATA_GUARDED_BY(mutex_) = 0;
};

class VolumeFollowerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounts need root";
  }

  // As Kubernetes does.
  void Write(const std::map<std::string, std::string>& keys) {
    const std::string data = fmt::format("..{}", ++writes_);
    ASSERT_TRUE(sys::MakeDirs(directory_ + "/" + data));
    for (const auto& [key, text] : keys) {
      ASSERT_TRUE(sys::WriteFile(directory_ + "/" + data + "/" + key, text));
      std::error_code there_already;
      std::filesystem::create_symlink("..data/" + key, directory_ + "/" + key, there_already);
    }
    const std::string link = directory_ + "/..data";
    ASSERT_EQ(::symlink(data.c_str(), (link + "_tmp").c_str()), 0);
    std::filesystem::rename(link + "_tmp", link);
    std::filesystem::remove_all(directory_ + fmt::format("/..{}", writes_ - 1));
  }
  std::string Watch(const std::string& container_id,
                    std::vector<std::string> options = {"rbind", "ro"}) {
    return follower_->Watch(container_id, {directory_, "/etc/app", std::move(options)}, -1);
  }

  const sys::TemporaryDir temporary_{"followed"};
  const std::string directory_ = temporary_.path();
  int writes_ = 0;
  Copies copies_;
  std::optional<VolumeFollower> follower_{std::in_place};
};

TEST_F(VolumeFollowerTest, ACopyBecomesWhatTheVolumeBecomes) {
  Write({{"key", "one"}, {"old", "x"}});
  const std::string path = Watch("c1");
  ASSERT_THAT(path, StartsWith("/run/kata-containers/copies/c1-"));
  EXPECT_EQ(copies_.size(), 0u);
  ASSERT_TRUE(follower_->Deliver("c1", copies_.Target()));
  EXPECT_EQ(copies_.Read(path, "key"), "one");
  ASSERT_EQ(::unlink((directory_ + "/old").c_str()), 0);
  Write({{"key", "two"}, {"new", "y"}});
  EXPECT_TRUE(copies_.Await([&](const auto& files) {
    return files.contains(path + "/..2/key") && files.contains(path + "/new") &&
           !files.contains(path + "/old") && !files.contains(path + "/..1");
  }));
  EXPECT_EQ(copies_.Read(path, "key"), "two");
}

TEST_F(VolumeFollowerTest, WhatChangesBeforeItIsDeliveredIsDelivered) {
  Write({{"key", "one"}});
  const std::string path = Watch("c1");
  Write({{"key", "two"}});
  ASSERT_TRUE(follower_->Deliver("c1", copies_.Target()));
  EXPECT_TRUE(copies_.Await([&](const auto& files) { return files.contains(path + "/..2/key"); }));
}

TEST_F(VolumeFollowerTest, EachContainerHasACopyWhichGoesWithIt) {
  Write({{"key", "one"}});
  const std::string first = Watch("c1");
  const std::string second = Watch("c2");
  EXPECT_NE(first, second);
  ASSERT_TRUE(follower_->Deliver("c1", copies_.Target()));
  ASSERT_TRUE(follower_->Deliver("c2", copies_.Target()));
  follower_->Forget("c1");
  EXPECT_TRUE(copies_.Await([&](const auto& files) { return !files.contains(first); }));
  Write({{"key", "two"}});
  EXPECT_TRUE(copies_.Await([&](const auto& files) { return files.contains(second + "/..2/key"); }))
      << "the other still follows";
  EXPECT_TRUE(copies_.Await([&](const auto& files) { return !files.contains(second + "/..1"); }));
  EXPECT_EQ(copies_.size(), 5u);
  follower_->Stop();
  EXPECT_THAT(Watch("c3"), StartsWith("/run/")) << "another machine may come";
}

TEST_F(VolumeFollowerTest, OtherVolumesAreLeftToBeShared) {
  EXPECT_THAT(Watch("c1"), IsEmpty()) << "an ordinary directory";
  ASSERT_EQ(::symlink("/etc", (directory_ + "/..data").c_str()), 0);
  EXPECT_THAT(Watch("c1"), IsEmpty()) << "leads out of it";
  ASSERT_EQ(::unlink((directory_ + "/..data").c_str()), 0);
  Write({{"key", "one"}});
  EXPECT_THAT(Watch("c1", {"rbind", "rw"}), IsEmpty()) << "may be written";
  EXPECT_THAT(follower_->Watch("c1", {directory_ + "/key", "/key", {"bind", "ro"}}, -1), IsEmpty());
  EXPECT_THAT(follower_->Watch("c1", {directory_ + "/none", "/key", {"bind", "ro"}}, -1),
              IsEmpty());
  Write({{"key", std::string(17 << 20, 'x')}});
  EXPECT_THAT(Watch("c1"), IsEmpty()) << "too large";
}

}  // namespace
}  // namespace kata::sandbox
