// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/store.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/hypervisor/testing/test_guest.h"
#include "sys/files.h"

namespace kata::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Manifest Smallest(const std::string& id) {
  Manifest manifest;
  manifest.id = id;
  manifest.machine.boot_mib = 64;
  manifest.machine.boot_vcpus = manifest.machine.vcpus = manifest.machine.max_vcpus = 1;
  manifest.state_bytes = 1;
  manifest.memory = {{.size_mib = 64, .image = {}}};
  return manifest;
}

class SnapshotStore : public ::testing::Test {
 protected:
  // Of `mib` on the disk, last used so many seconds after 1970.
  void Publish(const Store& store, const std::string& id, int64_t used, int mib = 1) {
    auto fresh = store.Begin(id);
    ASSERT_TRUE(fresh) << fresh.error().message();
    ASSERT_TRUE(
        sys::WriteFile(fresh->Path("memory"), std::string(static_cast<size_t>(mib) << 20, 'x')));
    const auto published = store.Publish(*std::move(fresh), Smallest(id));
    ASSERT_TRUE(published) << published.error().message();
    SetUsed(id, used);
  }
  void SetUsed(const std::string& id, int64_t used) {
    const timespec times[2] = {{used, 0}, {used, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (root_ + "/" + id).c_str(), times, 0), 0);
  }
  static std::vector<std::string> Ids(const Store& store) {
    std::vector<std::string> ids;
    for (const Store::Entry& entry : store.List()) ids.push_back(entry.id);
    return ids;
  }
  std::vector<std::string> Names() const { return sys::ListDirectory(root_); }

  hypervisor::testing::TempDir folder_;
  const std::string root_ = folder_ / "store";
  const Store store_{root_, 100};
};

TEST_F(SnapshotStore, GivesWhatWasPublishedUntilItIsRemoved) {
  EXPECT_THAT(store_.List(), IsEmpty()) << "there is not even a folder";
  EXPECT_EQ(store_.Open("a").error().code(), Code::kNotFound);
  Publish(store_, "a", 10);
  const auto opened = store_.Open("a");
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->manifest.id, "a");
  EXPECT_GT(store_.List()[0].used, 10) << "it was used now";
  EXPECT_GE(store_.List()[0].bytes, uint64_t{1} << 20);
  ASSERT_TRUE(store_.Remove("a"));
  EXPECT_EQ(store_.Open("a").error().code(), Code::kNotFound);
  EXPECT_THAT(store_.Open("a").error().message(), HasSubstr("quota_mb"));
  EXPECT_EQ(store_.Remove("a").error().code(), Code::kNotFound);
  EXPECT_EQ(store_.Remove("../a").error().code(), Code::kNotFound);
  EXPECT_EQ(store_.Open("../a").error().code(), Code::kNotFound);
}

TEST_F(SnapshotStore, WhoOpensOneThatIsRemovedFindsItsFiles) {
  Publish(store_, "a", 10);
  {
    const auto opened = store_.Open("a");
    ASSERT_TRUE(opened);
    ASSERT_TRUE(store_.Remove("a"));
    EXPECT_TRUE(sys::ReadFile(opened->path + "/memory", 2 << 20));
    EXPECT_TRUE(store_.Prune(UINT64_MAX));
    EXPECT_TRUE(sys::ReadFile(opened->path + "/memory", 2 << 20));
  }
  EXPECT_TRUE(store_.Prune(UINT64_MAX));
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(SnapshotStore, AWriterThatGivesUpOrIsKilledLeavesNothing) {
  {
    const auto fresh = store_.Begin("a");
  }
  EXPECT_THAT(Names(), IsEmpty());
  const pid_t writer = ::fork();
  if (writer == 0) {
    const auto fresh = store_.Begin("a");
    (void)sys::WriteFile(fresh->Path("memory"), "half of it");
    (void)sys::WriteFile(fresh->Path("manifest.json"), Format(Smallest("a")));
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(writer, nullptr, 0), writer);
  EXPECT_THAT(Names(), ElementsAre(".new-a"));
  EXPECT_EQ(store_.Open("a").error().code(), Code::kNotFound);
  EXPECT_EQ(store_.Open(".new-a").error().code(), Code::kNotFound);
  EXPECT_THAT(store_.List(), IsEmpty());
  Publish(store_, "b", 10);
  EXPECT_THAT(Names(), ElementsAre("b"));
}

TEST_F(SnapshotStore, AWriterAtWorkIsNotClearedAway) {
  auto fresh = store_.Begin("a");
  ASSERT_TRUE(fresh);
  EXPECT_EQ(store_.Begin("a").error().code(), Code::kAlreadyExists);
  Publish(store_, "b", 10);
  EXPECT_TRUE(store_.Prune(UINT64_MAX));
  ASSERT_TRUE(store_.Publish(*std::move(fresh), Smallest("a")));
  EXPECT_EQ(store_.Begin("a").error().code(), Code::kAlreadyExists);
  EXPECT_EQ(Ids(store_).size(), 2u);
}

TEST_F(SnapshotStore, TheLeastRecentlyUsedMakeRoom) {
  const Store small(root_, 7);
  Publish(small, "a", 10, 2);
  Publish(small, "b", 20, 2);
  Publish(small, "c", 30, 2);
  SetUsed("a", 40);
  EXPECT_THAT(Ids(small), ElementsAre("a", "c", "b"));
  Publish(small, "d", 50, 3);
  EXPECT_THAT(Ids(small), ElementsAre("d", "a"));
  const auto pruned = small.Prune(4 << 20);
  ASSERT_TRUE(pruned);
  EXPECT_THAT(*pruned, ElementsAre("a"));
}

TEST_F(SnapshotStore, OneAboveTheQuotaIsRefusedAndTheOthersStay) {
  const Store small(root_, 3);
  Publish(small, "a", 10);
  auto fresh = small.Begin("b");
  ASSERT_TRUE(sys::WriteFile(fresh->Path("memory"), std::string(4 << 20, 'x')));
  const auto published = small.Publish(*std::move(fresh), Smallest("b"));
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(published.error().message(), HasSubstr("quota_mb"));
  EXPECT_THAT(Names(), ElementsAre("a"));
}

TEST_F(SnapshotStore, WithoutAQuotaATenthOfTheFileSystemIsUsed) {
  ASSERT_TRUE(sys::MakeDirs(root_));
  const auto quota = Store(root_, 0).Quota();
  ASSERT_TRUE(quota);
  EXPECT_GT(*quota, 0u);
  EXPECT_EQ(*store_.Quota(), uint64_t{100} << 20);
}

TEST_F(SnapshotStore, OthersMustNotWriteThere) {
  Publish(store_, "a", 10);
  ASSERT_EQ(::chmod(root_.c_str(), 0770), 0);
  EXPECT_EQ(store_.Open("a").error().code(), Code::kPermissionDenied);
  EXPECT_EQ(store_.Begin("b").error().code(), Code::kPermissionDenied);
  ASSERT_EQ(::chmod(root_.c_str(), 0700), 0);
}

TEST_F(SnapshotStore, DamageAndForeignNamesAreTold) {
  Publish(store_, "a", 10);
  Publish(store_, "b", 20);
  ASSERT_EQ(::rename((root_ + "/b").c_str(), (root_ + "/c").c_str()), 0);
  EXPECT_THAT(store_.Open("c").error().message(), HasSubstr("it says that it is \"b\""));
  ASSERT_TRUE(sys::RemoveFile(root_ + "/a/manifest.json"));
  SetUsed("a", 10);
  const auto opened = store_.Open("a");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kDataLoss);
  const auto list = store_.List();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_FALSE(list[1].manifest) << "it is shown, so that it can be removed";
  EXPECT_TRUE(store_.Remove("a"));
  ASSERT_EQ(::symlink("/etc", (root_ + "/d").c_str()), 0);
  EXPECT_EQ(store_.Open("d").error().code(), Code::kNotFound);
}

TEST_F(SnapshotStore, ATakenNameIsNoReasonToLoseWhatIsThere) {
  auto fresh = store_.Begin("a");
  ASSERT_TRUE(fresh);
  ASSERT_TRUE(sys::MakeDirs(root_ + "/a/of-others"));
  EXPECT_EQ(store_.Publish(*std::move(fresh), Smallest("a")).error().code(), Code::kAlreadyExists);
  EXPECT_THAT(Names(), ElementsAre("a"));
  EXPECT_EQ(store_.Begin("Not A Name").error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kata::snapshot
