// SPDX-License-Identifier: Apache-2.0
#include "host/config/guest_kernel.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GuestKernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write(Share("kata-containers-initrd.img"), "agent");
    Choose("6.12-a", Share(""), StampOf(Share("kata-containers-initrd.img")));
  }

  std::string Share(const std::string& name) const {
    const std::string share = root() + "/usr/share/kata-containers";
    return name.empty() ? share : share + "/" + name;
  }
  std::string Chosen(const std::string& name) const {
    return root() + "/var/lib/kata-containers/guest-kernel/" + name;
  }
  static void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(sys::MakeDirs(path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(sys::WriteFile(path, text));
  }
  static std::string StampOf(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return fmt::format("{} {}", status.st_size, status.st_mtim.tv_sec);
  }
  void Choose(const std::string& name, const std::string& installation, const std::string& initrd) {
    Write(Chosen(name + "/kernel.info"),
          fmt::format("kind: distribution\nrelease: 6.12-cloud\nsource: Debian 6.12 (of: today)\n"
                      "lacks: 9p {}\ninstallation: {}\ninitrd: {}\nnonsense\n",
                      kLacksEmulatedCpuHotplug, installation, initrd));
    ::unlink(Chosen("current").c_str());
    ASSERT_EQ(::symlink(name.c_str(), Chosen("current").c_str()), 0);
  }
  const std::string& root() const { return root_.path(); }

  const sys::TemporaryDir root_{"guest-kernel"};
};

TEST_F(GuestKernelTest, TellsWhatStandsBesideTheKernel) {
  const auto kernel = DescribeKernel(Chosen("6.12-a/vmlinux.container"));
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->kind, "distribution");
  EXPECT_EQ(kernel->release, "6.12-cloud");
  EXPECT_EQ(kernel->source, "Debian 6.12 (of: today)");
  EXPECT_THAT(kernel->lacks, ElementsAre("9p", kLacksEmulatedCpuHotplug));
  EXPECT_TRUE(kernel->Lacks("9p"));
  EXPECT_FALSE(kernel->Lacks("9"));
}

TEST_F(GuestKernelTest, KnowsNothingOfAKernelWithoutInfo) {
  EXPECT_FALSE(DescribeKernel("/boot/vmlinuz"));
  EXPECT_FALSE(DescribeKernel(""));
}

TEST_F(GuestKernelTest, FindsWhatWasChosenForThisInstallation) {
  const ChosenGuest chosen = FindChosenGuest(root(), Share(""));
  EXPECT_EQ(chosen.directory, Chosen("6.12-a"));
  EXPECT_THAT(chosen.warning, IsEmpty());
}

TEST_F(GuestKernelTest, LeavesWhatWasChosenForAnother) {
  const ChosenGuest chosen = FindChosenGuest(root(), root() + "/opt/share/kata-containers");
  EXPECT_THAT(chosen.directory, IsEmpty());
  EXPECT_THAT(chosen.warning, IsEmpty());
}

TEST_F(GuestKernelTest, WarnsOfAnAgentThatIsNotTheInstalledOne) {
  Write(Share("kata-containers-initrd.img"), "another agent");
  const ChosenGuest chosen = FindChosenGuest(root(), Share(""));
  EXPECT_THAT(chosen.directory, IsEmpty());
  EXPECT_THAT(chosen.warning, HasSubstr("6.12-cloud"));
  EXPECT_THAT(chosen.warning, HasSubstr("run kata-guest-kernel refresh"));
}

TEST_F(GuestKernelTest, WithoutAChoiceFindsNone) {
  ASSERT_EQ(::unlink(Chosen("current").c_str()), 0);
  EXPECT_THAT(FindChosenGuest(root(), Share("")).directory, IsEmpty());
  ASSERT_EQ(::symlink("gone", Chosen("current").c_str()), 0);
  EXPECT_THAT(FindChosenGuest(root(), Share("")).directory, IsEmpty());
}

}  // namespace
}  // namespace kata::config
