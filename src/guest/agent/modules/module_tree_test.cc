// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/modules/module_tree.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ModuleTreeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("modules.dep",
          "kernel/net/802/stp.ko: kernel/net/llc/llc.ko\n"
          "kernel/net/llc/llc.ko:\n"
          "kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko\n"
          "kernel/drivers/net/tun.ko.xz:\n"
          "kernel/crypto/crc32c-intel.ko:\n"
          "kernel/crypto/crc32c_other.ko:\n");
    Write("modules.alias",
          "# Aliases extracted from modules themselves.\n"
          "alias rtnl-link-bridge bridge\n"
          "alias char-major-10-200 tun\n"
          "alias devname:net/tun tun\n"
          "alias crypto-crc32c crc32c_intel\n"
          "alias crypto-crc32c crc32c_other\n"
          "alias virtio:d00000001v* tun\n"
          "alias pci:v0000[0-9A]*sv* stp\n"
          "alias fs-lost gone\n"
          "alias\n");
    Write("modules.builtin", "kernel/fs/ext4/ext4.ko\nkernel/fs/mbcache.ko\n");
  }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(sys::WriteFile(dir_.path() + "/" + name, text));
  }
  std::vector<std::vector<std::string>> Resolve(const std::string& wanted) {
    const auto plans = ModuleTree::Open(dir_.path())->Resolve(wanted);
    if (!plans) return {{plans.error().message()}};
    std::vector<std::vector<std::string>> names;
    for (const LoadPlan& plan : *plans) {
      names.emplace_back();
      for (const std::string& file : plan) names.back().push_back(ModuleName(file));
    }
    return names;
  }

  const sys::TemporaryDir dir_{"modules"};
};

TEST_F(ModuleTreeTest, LoadsDependenciesBeforeTheModule) {
  EXPECT_THAT(Resolve("bridge"), ElementsAre(ElementsAre("llc", "stp", "bridge")));
}

TEST_F(ModuleTreeTest, GivesWholePathsWithTheirEndings) {
  const auto plans = ModuleTree::Open(dir_.path())->Resolve("tun");
  ASSERT_TRUE(plans);
  EXPECT_THAT(*plans, ElementsAre(ElementsAre(dir_.path() + "/kernel/drivers/net/tun.ko.xz")));
}

TEST_F(ModuleTreeTest, TakesDashesForUnderscores) {
  EXPECT_THAT(Resolve("crc32c_intel"), ElementsAre(ElementsAre("crc32c_intel")));
  EXPECT_THAT(Resolve("crc32c-intel"), ElementsAre(ElementsAre("crc32c_intel")));
  EXPECT_THAT(Resolve("rtnl_link_bridge"), ElementsAre(ElementsAre("llc", "stp", "bridge")));
}

TEST_F(ModuleTreeTest, FindsWhatTheKernelAsksForByAlias) {
  EXPECT_THAT(Resolve("rtnl-link-bridge"), ElementsAre(ElementsAre("llc", "stp", "bridge")));
  EXPECT_THAT(Resolve("char-major-10-200"), ElementsAre(ElementsAre("tun")));
  EXPECT_THAT(Resolve("devname:net/tun"), ElementsAre(ElementsAre("tun")));
}

TEST_F(ModuleTreeTest, MatchesPatternsAndSets) {
  EXPECT_THAT(Resolve("virtio:d00000001v00001AF4"), ElementsAre(ElementsAre("tun")));
  EXPECT_THAT(Resolve("pci:v0000A1sv7"), ElementsAre(ElementsAre("llc", "stp")));
}

TEST_F(ModuleTreeTest, GivesAllThatAnswerToAnAlias) {
  EXPECT_THAT(Resolve("crypto-crc32c"),
              ElementsAre(ElementsAre("crc32c_intel"), ElementsAre("crc32c_other")));
}

TEST_F(ModuleTreeTest, HasNothingToLoadForWhatIsBuiltIn) {
  EXPECT_THAT(Resolve("ext4"), IsEmpty());
}

TEST_F(ModuleTreeTest, NamesWhatItDoesNotKnow) {
  for (const std::string wanted : {"nbd", "fs-lost", "", "kernel/net/llc/llc.ko", "a\nb", "/tun"}) {
    const auto plans = ModuleTree::Open(dir_.path())->Resolve(wanted);
    ASSERT_FALSE(plans) << wanted;
    EXPECT_EQ(plans.error().code(), Code::kNotFound);
    EXPECT_THAT(plans.error().message(), ::testing::HasSubstr("\"" + wanted + "\""));
  }
}

TEST_F(ModuleTreeTest, ListsWhatIsLoadedAtBoot) {
  EXPECT_THAT(ModuleTree::Open(dir_.path())->BootModules(), IsEmpty());
  Write("modules.boot", "# drivers\nvirtio_net\n\nsd_mod\n");
  EXPECT_THAT(ModuleTree::Open(dir_.path())->BootModules(), ElementsAre("virtio_net", "sd_mod"));
}

TEST_F(ModuleTreeTest, ListsDeviceFilesAndLeavesOutNonsense) {
  Write("modules.devname",
        "# Device nodes to trigger on-demand module loading.\n"
        "tun net/tun c10:200\nloop loop-control c10:237\nbad ../x c1:2\nbad x c1\nbad y q1:2\n"
        "bad z c1:\nbad\n\n");
  const auto names = ModuleTree::Open(dir_.path())->DeviceNames();
  ASSERT_EQ(names.size(), 2);
  EXPECT_EQ(names[0].path, "net/tun");
  EXPECT_FALSE(names[0].block);
  EXPECT_EQ(names[0].major, 10);
  EXPECT_EQ(names[0].minor, 200);
  EXPECT_EQ(names[1].path, "loop-control");
}

TEST_F(ModuleTreeTest, WithoutIndexLoadsNothing) {
  const sys::TemporaryDir empty("modules");
  EXPECT_FALSE(ModuleTree::Open(empty.path())->LoadsModules());
  EXPECT_EQ(ModuleTree::Open(empty.path() + "/6.12").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace kata::guest
