// SPDX-License-Identifier: Apache-2.0
#include "host/storage/shared_volumes.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/fuse_tree.h"
#include "sys/mounts.h"
#include "sys/testing/mount_test.h"

namespace kata::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// A process that sees nothing but `directory`, in a mount namespace of its own, as a file daemon.
class Server {
 public:
  explicit Server(const std::string& directory) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool inside = ::unshare(CLONE_NEWNS) == 0 && ::chdir(directory.c_str()) == 0 &&
                          ::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0 &&
                          ::mount(".", ".", nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
                          ::chdir(directory.c_str()) == 0 &&
                          ::syscall(SYS_pivot_root, ".", ".") == 0 &&
                          ::umount2(".", MNT_DETACH) == 0;
      (void)!::write(ready[1], inside ? "y" : "n", 1);
      for (;;) ::pause();
    }
    char answer = 'n';
    (void)!::read(ready[0], &answer, 1);
    ::close(ready[0]);
    ::close(ready[1]);
    inside_ = answer == 'y';
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  bool inside() const { return inside_; }
  pid_t pid() const { return pid_; }
  std::string Root() const { return "/proc/" + std::to_string(pid_) + "/root/"; }

 private:
  pid_t pid_ = -1;
  bool inside_ = false;
};

class SharedVolumesTest : public sys::testing::MountTest {
 protected:
  void SetUpMounts() override {
    char name[] = "/tmp/kata-volumes-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    for (const char* each : {"/mounts", "/served", "/data", "/other"}) {
      ASSERT_TRUE(sys::MakeDirs(dir_ + each));
    }
    ASSERT_TRUE(sys::Mount("tmpfs", dir_ + "/data", "tmpfs", 0UL));
    sys::MountOptions bind;
    bind.Add("bind");
    ASSERT_TRUE(sys::BindMount(Mounts(), Mounts(), bind));
    ASSERT_TRUE(sys::SetPropagation(Mounts(), MS_SHARED));
    ASSERT_TRUE(sys::BindMount(Mounts(), dir_ + "/served", bind));
    volumes_ = std::make_unique<SharedVolumes>(Mounts(), dir_ + "/served");
  }
  void TearDown() override {
    if (dir_.empty()) return;
    for (const char* each : {"/served", "/mounts", "/data"}) {
      ::umount2((dir_ + each).c_str(), MNT_DETACH);
    }
    EXPECT_TRUE(sys::RemoveTree(dir_));
  }
  std::string Mounts() const { return dir_ + "/mounts"; }
  std::string Data() const { return dir_ + "/data"; }
  // The volume's path in `served`; empty after an error.
  std::string Add(const std::string& container, const std::string& source,
                  std::vector<std::string> options = {"rbind", "rprivate"}) {
    auto name = volumes_->Add(container, {source, "/data", std::move(options)}, -1);
    EXPECT_TRUE(name) << name.error().message();
    return name ? dir_ + "/served/" + *name : "";
  }
  static int WriteError(const std::string& directory) {
    const auto written = sys::WriteFile(directory + "/file", "x");
    return written ? 0 : written.error().error_number();
  }
  std::string dir_;
  std::unique_ptr<SharedVolumes> volumes_;
};

TEST_F(SharedVolumesTest, ADirectoryThatTwoContainersNameIsMountedOnceUntilBothHaveGone) {
  const std::string first = Add("a", Data());
  EXPECT_EQ(Add("b", Data()), first);
  EXPECT_EQ(Add("b", Data() + "/../data/"), first);
  EXPECT_NE(Add("b", dir_ + "/other"), first);
  EXPECT_THAT(volumes_->RemoveContainer("a"), IsEmpty());
  EXPECT_EQ(WriteError(first), 0);
  EXPECT_TRUE(sys::Exists(Data() + "/file"));
  EXPECT_THAT(volumes_->RemoveContainer("b"), ElementsAre(".volumes/1-data", ".volumes/0-data"));
  EXPECT_FALSE(sys::Exists(first));
  EXPECT_TRUE(sys::Exists(Data() + "/file"));
}

TEST_F(SharedVolumesTest, ANameDoesNotComeAgain) {
  const std::string first = Add("a", Data());
  EXPECT_THAT(volumes_->RemoveContainer("a"), SizeIs(1));
  EXPECT_NE(Add("a", Data()), first);
}

TEST_F(SharedVolumesTest, AFileIsSharedLikewise) {
  ASSERT_TRUE(sys::WriteFile(Data() + "/hosts", "127.0.0.1"));
  const std::string first = Add("a", Data() + "/hosts", {"bind", "ro"});
  EXPECT_EQ(Add("b", Data() + "/hosts", {"bind", "ro"}), first);
  EXPECT_EQ(sys::ReadFile(first).value_or(""), "127.0.0.1");
}

TEST_F(SharedVolumesTest, WhatAllWantReadOnlyCanBeWrittenOnceOneMay) {
  const std::string first = Add("a", Data(), {"rbind", "rprivate", "ro"});
  EXPECT_EQ(Add("b", Data(), {"rbind", "rprivate", "ro"}), first);
  EXPECT_EQ(WriteError(first), EROFS);
  EXPECT_EQ(Add("c", Data(), {"rbind", "rprivate", "rw"}), first);
  EXPECT_EQ(WriteError(first), 0);
  EXPECT_EQ(Add("d", Data(), {"rbind", "rprivate", "ro"}), first)
      << "the guest keeps d from writing";
}

TEST_F(SharedVolumesTest, TheServersViewBecomesWritableToo) {
  const Server server(dir_ + "/served");
  ASSERT_TRUE(server.inside());
  volumes_->ServedBy(server.pid());
  const std::string first = Add("a", Data(), {"rbind", "rprivate", "ro"});
  const std::string seen = server.Root() + first.substr((dir_ + "/served/").size());
  EXPECT_EQ(WriteError(seen), EROFS);
  EXPECT_EQ(Add("b", Data()), first);
  EXPECT_EQ(WriteError(seen), 0);
}

TEST_F(SharedVolumesTest, AMountThatCannotBecomeWritableIsLeftAsItIs) {
  volumes_->ServedBy(::getpid());  // whose root is another one
  const std::string first = Add("a", Data(), {"rbind", "rprivate", "ro"});
  const std::string second = Add("b", Data());
  EXPECT_NE(second, first);
  EXPECT_EQ(WriteError(first), EROFS);
  EXPECT_EQ(WriteError(second), 0);
}

TEST_F(SharedVolumesTest, WhatIsReadOnlyOnTheHostStaysSo) {
  sys::MountOptions read_only;
  for (const char* word : {"bind", "ro"}) read_only.Add(word);
  ASSERT_TRUE(sys::BindMount(Data(), dir_ + "/other", read_only));
  const std::string writable = Add("a", Data());
  const std::string other = Add("b", dir_ + "/other");
  EXPECT_NE(other, writable);
  EXPECT_EQ(WriteError(other), EROFS);
  EXPECT_EQ(WriteError(writable), 0);
  ASSERT_EQ(::umount2((dir_ + "/other").c_str(), MNT_DETACH), 0);
}

TEST_F(SharedVolumesTest, WithOtherMountsBelowItIsAnotherVolume) {
  ASSERT_TRUE(sys::MakeDirs(Data() + "/sub"));
  const std::string before = Add("a", Data());
  ASSERT_TRUE(sys::Mount("tmpfs", Data() + "/sub", "tmpfs", 0UL));
  ASSERT_TRUE(sys::WriteFile(Data() + "/sub/mark", "x"));
  const std::string after = Add("b", Data());
  EXPECT_NE(after, before);
  EXPECT_EQ(sys::ReadFile(after + "/sub/mark").value_or(""), "x");
  EXPECT_EQ(Add("c", Data()), after);
  EXPECT_NE(Add("d", Data(), {"bind"}), after) << "without what is below";
}

TEST_F(SharedVolumesTest, OtherIdsAreAnotherVolume) {
  const std::string plain = Add("a", Data(), {"bind"});
  Volume volume{Data(), "/data", {"bind"}};
  volume.ids.emplace();
  ASSERT_TRUE(volume.ids->uids.Add({.inside = 0, .outside = 1000, .size = 10}));
  ASSERT_TRUE(volume.ids->gids.Add({.inside = 0, .outside = 1000, .size = 10}));
  const auto mapped = volumes_->Add("b", volume, -1);
  if (!mapped && mapped.error().code() == Code::kUnimplemented) {
    GTEST_SKIP() << mapped.error().message();
  }
  ASSERT_TRUE(mapped) << mapped.error().message();
  EXPECT_NE(dir_ + "/served/" + *mapped, plain);
  EXPECT_EQ(volumes_->Add("c", volume, -1).value_or(""), *mapped);
}

class Propagation : public SharedVolumesTest, public testing::WithParamInterface<const char*> {};

TEST_P(Propagation, TheHostKeepsWhatItHasMountedBelow) {
  ASSERT_TRUE(sys::SetPropagation(Data(), MS_SHARED));
  ASSERT_TRUE(sys::MakeDirs(Data() + "/sub"));
  ASSERT_TRUE(sys::Mount("tmpfs", Data() + "/sub", "tmpfs", 0UL));
  std::vector<std::string> options{"rbind"};
  if (*GetParam() != 0) options.emplace_back(GetParam());
  const std::string first = Add("a", Data(), options);
  EXPECT_TRUE(sys::IsMountPoint(first + "/sub").value());
  EXPECT_THAT(volumes_->RemoveContainer("a"), SizeIs(1));
  EXPECT_FALSE(sys::Exists(first));
  EXPECT_TRUE(sys::IsMountPoint(Data() + "/sub").value());
}
INSTANTIATE_TEST_SUITE_P(Words, Propagation, testing::Values("", "rprivate", "rslave", "rshared"));

TEST_P(Propagation, WhatTheHostMountsOverTheSourceGoesWithTheVolume) {
  ASSERT_TRUE(sys::SetPropagation(Data(), MS_SHARED));
  std::vector<std::string> options{"rbind"};
  if (*GetParam() != 0) options.emplace_back(GetParam());
  const std::string first = Add("a", Data(), options);
  ASSERT_TRUE(sys::Mount("tmpfs", Data(), "tmpfs", 0UL));
  ASSERT_TRUE(sys::WriteFile(Data() + "/secret", "x"));
  EXPECT_THAT(volumes_->RemoveContainer("a"), SizeIs(1));
  EXPECT_FALSE(sys::Exists(first));
  ::umount2(Data().c_str(), MNT_DETACH);
}

class Following : public SharedVolumesTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUpMounts() override {
    SharedVolumesTest::SetUpMounts();
    ASSERT_TRUE(sys::SetPropagation(Data(), MS_SHARED));
    ASSERT_TRUE(sys::MakeDirs(Data() + "/sub"));
    options_ = {"rbind"};
    if (*GetParam() != 0) options_.emplace_back(GetParam());
  }
  void Mount(const std::string& path) {
    ASSERT_TRUE(sys::Mount("tmpfs", Data() + path, "tmpfs", 0UL));
    ASSERT_TRUE(sys::WriteFile(Data() + path + "/mark", path));
  }
  std::vector<std::string> options_;
};

TEST_P(Following, WhatTheHostMountsLaterComesAndGoes) {
  const std::string volume = Add("a", Data(), options_);
  EXPECT_THAT(volumes_->FollowMounts(), IsEmpty());
  Mount("/sub");
  ASSERT_TRUE(sys::MakeDirs(Data() + "/sub/deep"));
  Mount("/sub/deep");
  EXPECT_THAT(volumes_->FollowMounts(),
              ElementsAre(".volumes/0-data/sub", ".volumes/0-data/sub/deep"));
  EXPECT_EQ(sys::ReadFile(volume + "/sub/mark").value_or(""), "/sub");
  EXPECT_EQ(sys::ReadFile(volume + "/sub/deep/mark").value_or(""), "/sub/deep");
  ASSERT_EQ(::umount2((Data() + "/sub").c_str(), MNT_DETACH), 0);
  EXPECT_THAT(volumes_->FollowMounts(),
              ElementsAre(".volumes/0-data/sub/deep", ".volumes/0-data/sub"));
  EXPECT_FALSE(sys::Exists(volume + "/sub/mark"));
  Mount("/sub");
  EXPECT_THAT(volumes_->FollowMounts(), SizeIs(1));
  EXPECT_EQ(Add("b", Data(), options_), volume) << "has the same below";
  EXPECT_TRUE(sys::Exists(volume + "/sub/mark"));
}

TEST_P(Following, TheHostCanUnmountWhatSomebodyHasOpenThroughTheVolume) {
  Mount("/sub");
  const Server server(dir_ + "/served");
  ASSERT_TRUE(server.inside());
  const std::string volume = Add("a", Data(), options_);
  const auto open =
      sys::Open(server.Root() + volume.substr((dir_ + "/served/").size()) + "/sub/mark", O_RDONLY);
  ASSERT_TRUE(open) << open.error().message();
  ASSERT_EQ(::umount2((Data() + "/sub").c_str(), 0), 0) << strerrorname_np(errno);
  EXPECT_THAT(volumes_->FollowMounts(), ElementsAre(".volumes/0-data/sub"));
  EXPECT_FALSE(sys::Exists(volume + "/sub/mark"));
}

TEST_P(Following, ALinkThatTheGuestPutsInTheWayIsNotFollowed) {
  ASSERT_TRUE(sys::MakeDirs(Data() + "/a/b"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/other/b"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/other/b/secret", "x"));
  const std::string volume = Add("a", Data(), options_);
  Mount("/a/b");
  ASSERT_EQ(::rename((volume + "/a").c_str(), (volume + "/moved").c_str()), 0);
  ASSERT_EQ(::symlink((dir_ + "/other").c_str(), (volume + "/a").c_str()), 0);
  volumes_->FollowMounts();
  EXPECT_FALSE(sys::Exists(volume + "/moved/b/secret"));
  EXPECT_FALSE(sys::IsMountPoint(dir_ + "/other/b").value());
  ASSERT_EQ(::umount2((Data() + "/moved/b").c_str(), MNT_DETACH), 0);
  volumes_->FollowMounts();
}
INSTANTIATE_TEST_SUITE_P(Words, Following, testing::Values("", "rslave", "rshared"));

TEST_F(SharedVolumesTest, NothingComesToAPrivateVolumeNorFromAPrivateMount) {
  ASSERT_TRUE(sys::MakeDirs(Data() + "/sub"));
  const std::string of_private = Add("a", Data(), {"rbind", "rslave"});
  ASSERT_TRUE(sys::Mount("tmpfs", Data() + "/sub", "tmpfs", 0UL));
  EXPECT_THAT(volumes_->FollowMounts(), IsEmpty());
  ASSERT_EQ(::umount2((Data() + "/sub").c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(sys::SetPropagation(Data(), MS_SHARED));
  volumes_->RemoveContainer("a");
  EXPECT_THAT(volumes_->FollowedNamespaces(), IsEmpty());
  Add("b", Data(), {"rbind", "rprivate"});
  EXPECT_THAT(volumes_->FollowedNamespaces(), IsEmpty());
  ASSERT_TRUE(sys::Mount("tmpfs", Data() + "/sub", "tmpfs", 0UL));
  EXPECT_THAT(volumes_->FollowMounts(), IsEmpty());
}

TEST_F(SharedVolumesTest, WhatIsReadOnlyBelowStaysSo) {
  ASSERT_TRUE(sys::MakeDirs(Data() + "/sub"));
  ASSERT_TRUE(sys::Mount("tmpfs", Data() + "/sub", "tmpfs", 0UL));
  sys::MountOptions rbind;
  rbind.Add("rbind");
  ASSERT_TRUE(sys::BindMount(Data(), dir_ + "/other", rbind));
  const sys::UniqueFd fd = sys::Open(dir_ + "/other/sub", O_PATH).value();
  ASSERT_TRUE(sys::SetMountReadOnly(fd.get()));
  EXPECT_EQ(WriteError(dir_ + "/other/sub"), EROFS);
  const std::string writable = Add("a", Data());
  const std::string other = Add("b", dir_ + "/other");
  EXPECT_NE(other, writable);
  EXPECT_EQ(WriteError(other + "/sub"), EROFS) << "read-only on the host";
  ASSERT_EQ(::umount2((dir_ + "/other").c_str(), MNT_DETACH), 0);
}

TEST_F(SharedVolumesTest, ASourceWithIdsOfItsOwnIsAnotherVolume) {
  Volume volume{Data(), "/data", {"bind"}};
  volume.ids.emplace();
  ASSERT_TRUE(volume.ids->uids.Add({.inside = 0, .outside = 1000, .size = 10}));
  ASSERT_TRUE(volume.ids->gids.Add({.inside = 0, .outside = 1000, .size = 10}));
  auto tree = CloneVolume(volume, -1);
  if (!tree) GTEST_SKIP() << tree.error().message();
  const sys::UniqueFd place = sys::Open(dir_ + "/other", O_PATH).value();
  ASSERT_TRUE(sys::AttachMount(tree->get(), place.get()));
  ASSERT_TRUE(sys::WriteFile(Data() + "/mine", "x"));
  struct stat host{};
  ASSERT_EQ(::stat((dir_ + "/other/mine").c_str(), &host), 0);
  const std::string plain = Add("a", Data());
  const std::string other = Add("b", dir_ + "/other");
  struct stat seen{};
  ASSERT_EQ(::stat((other + "/mine").c_str(), &seen), 0);
  EXPECT_EQ(seen.st_uid, host.st_uid) << "b's source shows uid " << host.st_uid;
  EXPECT_NE(plain, other);
  ASSERT_EQ(::umount2((dir_ + "/other").c_str(), MNT_DETACH), 0);
}

TEST_F(SharedVolumesTest, WhatNobodyMayWriteToAnyMoreIsReadOnlyAgain) {
  const std::string first = Add("a", Data(), {"rbind", "rprivate", "ro"});
  EXPECT_EQ(WriteError(first), EROFS);
  EXPECT_EQ(Add("b", Data()), first);
  EXPECT_THAT(volumes_->RemoveContainer("b"), IsEmpty());
  EXPECT_EQ(WriteError(first), EROFS) << "only a, which has it read-only, is left";
}

TEST_F(SharedVolumesTest, WithoutMountsBelowRecursiveIsThePlainOne) {
  EXPECT_EQ(Add("a", Data(), {"bind"}), Add("b", Data(), {"rbind"}));
}

TEST_F(SharedVolumesTest, OneNumberOfAnInodeCanBeTwoDirectories) {
  auto fuse = sys::MakeFuseMount("volumes-test");
  if (!fuse) GTEST_SKIP() << fuse.error().message();
  sys::FuseTree tree;
  tree.nodes[1] = {S_IFDIR, "", {{"a", 2}, {"b", 3}}};
  tree.nodes[2] = {S_IFDIR, "", {{"mine", 4}}};
  tree.nodes[3] = {S_IFDIR, "", {{"secret-of-b", 5}}};
  tree.nodes[4] = {S_IFREG, "a", {}};
  tree.nodes[5] = {S_IFREG, "b", {}};
  std::atomic<bool> stop = false;
  const int device = fuse->device.get();
  std::thread server([&] {
    std::string buffer(1 << 20, 0);
    while (!stop) {
      pollfd wait{device, POLLIN, 0};
      if (::poll(&wait, 1, 50) <= 0) continue;
      const ssize_t n = ::read(device, buffer.data(), buffer.size());
      if (n <= 0) {
        if (errno == ENODEV) return;
        continue;
      }
      auto answer = sys::AnswerFuse({buffer.data(), size_t(n)}, tree);
      if (!answer) continue;
      const uint32_t opcode = reinterpret_cast<fuse_in_header*>(buffer.data())->opcode;
      auto* out = reinterpret_cast<fuse_out_header*>(answer->data());
      fuse_attr* attr = nullptr;
      if (opcode == FUSE_LOOKUP && !out->error)
        attr = &reinterpret_cast<fuse_entry_out*>(out + 1)->attr;
      if (opcode == FUSE_GETATTR && !out->error)
        attr = &reinterpret_cast<fuse_attr_out*>(out + 1)->attr;
      if (attr && S_ISDIR(attr->mode)) attr->ino = 256;  // as btrfs' subvolumes through NFS
      (void)!::write(device, answer->data(), answer->size());
    }
  });
  {
    const sys::UniqueFd place = sys::Open(dir_ + "/other", O_PATH).value();
    EXPECT_TRUE(sys::AttachMount(fuse->mount.get(), place.get()));
    const std::string a = Add("a", dir_ + "/other/a");
    const std::string b = Add("b", dir_ + "/other/b");
    EXPECT_NE(a, b);
    EXPECT_FALSE(sys::Exists(a + "/secret-of-b"));
    EXPECT_TRUE(sys::Exists(b + "/secret-of-b")) << "b sees a's: mine " << sys::Exists(b + "/mine");
    EXPECT_EQ(Add("c", dir_ + "/other/b"), b);
    for (auto* each : {"a", "b", "c"}) volumes_->RemoveContainer(each);
    ::umount2((dir_ + "/other").c_str(), MNT_DETACH);
  }
  stop = true;
  server.join();
}

TEST_F(SharedVolumesTest, WhatAServerThatIsBeingStartedHasSeenIsNotKnown) {
  const std::string first = Add("a", Data(), {"rbind", "rprivate", "ro"});
  volumes_->ServedBy(-1);
  const Server server(dir_ + "/served");  // spawned, and not told of yet
  const std::string second = Add("b", Data());
  volumes_->ServedBy(server.pid());
  EXPECT_EQ(WriteError(server.Root() + second.substr((dir_ + "/served/").size())), 0);
}

TEST_F(SharedVolumesTest, NothingIsLeftOfWhatIsNotThere) {
  EXPECT_EQ(volumes_->Add("a", {dir_ + "/nowhere", "/x", {"bind"}}, -1).error().code(),
            Code::kNotFound);
  EXPECT_THAT(volumes_->RemoveContainer("a"), IsEmpty());
}

}  // namespace
}  // namespace kata::storage
