// SPDX-License-Identifier: Apache-2.0
#include "host/storage/mount_descriptors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kSnapshots = "/var/lib/containerd/io.containerd.snapshotter.v1.erofs/snapshots/";

RootfsMount Layer(const std::string& number, std::vector<std::string> more = {}) {
  std::vector<std::string> options = {"ro", "loop"};
  options.insert(options.end(), more.begin(), more.end());
  return {"erofs", kSnapshots + number + "/layer.erofs", options};
}

std::string DescriptorRefusal(const std::vector<RootfsMount>& mounts) {
  const auto root = ParseDescriptors(mounts);
  return root ? "" : root.error().message();
}

// What a mount list of two layers and `options` is refused with.
std::string DescriptorRefusalOf(std::vector<std::string> options,
                                const std::string& type = "format/mkdir/overlay") {
  return DescriptorRefusal({Layer("5"), Layer("1"), {type, "overlay", std::move(options)}});
}

// As containerd 2.3.7 gives an active snapshot of two layers.
const std::vector<RootfsMount> kActiveSnapshot = {
    Layer("5"),
    Layer("1"),
    {"format/mkdir/overlay",
     "overlay",
     {"workdir=" + kSnapshots + "6/work", "upperdir=" + kSnapshots + "6/fs",
      "lowerdir={{ overlay 0 1 }}", "index=off"}}};

TEST(MountDescriptors, AnOverlayOfImagesHasItsLowersInTheirOrder) {
  ASSERT_TRUE(HasDescriptors(kActiveSnapshot));
  const auto root = ParseDescriptors(kActiveSnapshot);
  ASSERT_TRUE(root) << root.error().message();
  ASSERT_EQ(root->images.size(), 2U);
  EXPECT_EQ(root->images[0],
            (ImageFile{.path = kSnapshots + "5/layer.erofs", .type = "erofs", .read_only = true}));
  EXPECT_THAT(root->lowers, ElementsAre(DescribedPath{0, ""}, DescribedPath{1, ""}));
  EXPECT_EQ(root->upper, (DescribedPath{std::nullopt, kSnapshots + "6/fs"}));
  EXPECT_EQ(root->work, (DescribedPath{std::nullopt, kSnapshots + "6/work"}));
  EXPECT_THAT(root->options, ElementsAre("index=off"));
  EXPECT_TRUE(root->overlay);
}

TEST(MountDescriptors, AnOverlayOfMountedImagesIsOneOfMount8) {
  const auto root = ParseDescriptors(kActiveSnapshot);
  ASSERT_TRUE(root);
  const RootfsMount mount = RootMountAt(*root, {"/i/0", "/i/1"});
  EXPECT_EQ(mount.type, "overlay");
  EXPECT_THAT(mount.options, ElementsAre("index=off", "upperdir=" + kSnapshots + "6/fs",
                                         "workdir=" + kSnapshots + "6/work", "lowerdir=/i/0:/i/1"));
}

TEST(MountDescriptors, AWritableImageHasTheUpperDirectory) {
  const auto root = ParseDescriptors(
      {{"ext4", kSnapshots + "6/rwlayer.img", {"rw", "loop"}},
       Layer("2"),
       Layer("1"),
       {"format/mkdir/overlay",
        "overlay",
        {"X-containerd.mkdir.path={{ mount 0 }}/upper:0755",
         "X-containerd.mkdir.path={{ mount 0 }}/work:0755:0:0", "workdir={{ mount 0 }}/work",
         "upperdir={{ mount 0 }}/upper", "lowerdir={{ overlay 1 2 }}"}}});
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_FALSE(root->images[0].read_only);
  EXPECT_EQ(root->upper, (DescribedPath{0, "/upper"}));
  EXPECT_EQ(root->work, (DescribedPath{0, "/work"}));
  EXPECT_THAT(root->directories, ElementsAre(DescribedDirectory{{0, "/upper"}, 0755},
                                             DescribedDirectory{{0, "/work"}, 0755}));
  EXPECT_THAT(root->lowers, ElementsAre(DescribedPath{1, ""}, DescribedPath{2, ""}));
}

TEST(MountDescriptors, LowersAloneAreAnOverlayOrTheOneLower) {
  const auto two = ParseDescriptors(kActiveSnapshot);
  ASSERT_TRUE(two);
  EXPECT_THAT(RootMountAt(LowersOf(*two), {"/5", "/1"}).options,
              ElementsAre("index=off", "lowerdir=/5:/1"));
  const auto one =
      ParseDescriptors({Layer("1"),
                        {"format/overlay",
                         "overlay",
                         {"lowerdir={{ mount 0 }}", "upperdir=/u", "workdir=/w", "index=off"}}});
  ASSERT_TRUE(one);
  const RootfsMount mount = RootMountAt(LowersOf(*one), {"/1"});
  EXPECT_EQ(mount.type, "bind");
  EXPECT_EQ(mount.source, "/1");
  EXPECT_THAT(mount.options, ElementsAre("ro"));
}

TEST(MountDescriptors, AnImageOfMetadataGivesWayToItsLayersTopFirst) {
  const RootfsMount merged{"erofs",
                           kSnapshots + "3/fsmeta.erofs",
                           {"ro", "loop", "device=" + kSnapshots + "1/layer.erofs",
                            "device=" + kSnapshots + "2/layer.erofs"}};
  const auto root = ParseDescriptors(
      {Layer("4"), merged, {"format/mkdir/overlay", "overlay", {"lowerdir={{ overlay 0 1 }}"}}});
  ASSERT_TRUE(root) << root.error().message();
  ASSERT_EQ(root->images.size(), 3U);
  EXPECT_EQ(root->images[1].path, kSnapshots + "2/layer.erofs");
  EXPECT_EQ(root->images[2].path, kSnapshots + "1/layer.erofs");
  EXPECT_TRUE(root->images[2].read_only);
  EXPECT_EQ(RootMountAt(*root, {"/4", "/2", "/1"}).options.back(), "lowerdir=/4:/2:/1");
  // A view of it is a bind mount.
  const auto view = ParseDescriptors({merged, {"format/bind", "{{ mount 0 }}", {"ro", "rbind"}}});
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_THAT(RootMountAt(*view, {"/2", "/1"}).options, ElementsAre("ro", "lowerdir=/2:/1"));
}

TEST(MountDescriptors, AnImageAloneIsItsOwnRoot) {
  ASSERT_TRUE(HasDescriptors({Layer("1")}));
  const auto root = ParseDescriptors({Layer("1", {"X-containerd.dmverity=/1.dmverity"})});
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_EQ(root->images[0].verity, "/1.dmverity");
  EXPECT_FALSE(root->overlay);
  EXPECT_EQ(RootMountAt(*root, {"/i"}).source, "/i");
}

TEST(MountDescriptors, ARangeMayRunBackwards) {
  const auto root = ParseDescriptors(
      {Layer("1"), Layer("2"), {"format/overlay", "overlay", {"lowerdir={{ overlay 1 0 }}:/x"}}});
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_THAT(root->lowers, ElementsAre(DescribedPath{1, ""}, DescribedPath{0, ""},
                                        DescribedPath{std::nullopt, "/x"}));
}

TEST(MountDescriptors, PlainMountsAreNone) {
  EXPECT_FALSE(HasDescriptors({}));
  EXPECT_FALSE(HasDescriptors({{"overlay", "overlay", {"lowerdir=/a:/b"}}}));
  EXPECT_FALSE(HasDescriptors({{"bind", "/a", {"rbind"}}}));
  EXPECT_FALSE(HasDescriptors({{"ext4", "/scratch.img", {"loop"}}}));
  EXPECT_FALSE(HasDescriptors({{"erofs", "/dev/vdb", {"ro"}}}));
}

TEST(MountDescriptors, BadTemplatesAreRefused) {
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ overlay 0 2 }}"}),
              HasSubstr("option \"lowerdir={{ overlay 0 2 }}\": template \"{{ overlay 0 2 }}\": "
                        "mount 2 of 2 before it"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ mount -1 }}"}),
              HasSubstr("mount -1 of 2 before it"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ mount 0"}), HasSubstr("no end"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{"}), HasSubstr("no end"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ source 0 }}"}), HasSubstr("only \"mount N\""));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{}}"}), HasSubstr("only \"mount N\""));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ mount 0 }}{{ mount 1 }}"}),
              HasSubstr("absolute path"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ mount 0 }}::/a"}), HasSubstr("an empty path"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=relative"}), HasSubstr("absolute path"));
  EXPECT_THAT(
      DescriptorRefusalOf({"lowerdir={{ mount 0 }}", "upperdir={{ overlay 0 1 }}", "workdir=/w"}),
      HasSubstr("2 paths where one belongs"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ mount 0 }}", "context={{ mount 0 }}"}),
              HasSubstr("not known here"));
  // Without "format" they are words like all others.
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir={{ mount 0 }}"}, "mkdir/overlay"),
              HasSubstr("absolute path"));
}

TEST(MountDescriptors, WhatIsNotKnownIsRefused) {
  EXPECT_THAT(DescriptorRefusalOf({}), HasSubstr("no lower directory"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=/a", "upperdir=/u"}),
              HasSubstr("upperdir and workdir"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=/a"}, "mkfs/overlay"),
              HasSubstr("\"mkfs\" is not known"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=/a"}, "format/xfs"),
              HasSubstr("neither an overlay nor"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=/a", "X-containerd.other=1"}),
              HasSubstr("not known here"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=/a", "X-containerd.mkdir.path=/d:0999"}),
              HasSubstr("no mode"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=/a", "X-containerd.mkdir.path=/d:0755:5:5"}),
              HasSubstr("another owner"));
  EXPECT_THAT(DescriptorRefusalOf({"lowerdir=/a", "X-containerd.mkdir.mode=1"}),
              HasSubstr("only path="));
  EXPECT_THAT(DescriptorRefusal({{"bind", "/a", {"rbind"}}, {"format/bind", "{{ mount 0 }}", {}}}),
              HasSubstr("mount 0: type \"bind\" of \"/a\": only files with a file system"));
  EXPECT_THAT(DescriptorRefusal({Layer("1", {"X-containerd.other"}), kActiveSnapshot.back()}),
              HasSubstr("not known here"));
  EXPECT_THAT(DescriptorRefusal(
                  {Layer("1", {"device=/d", "X-containerd.dmverity=/v"}), kActiveSnapshot.back()}),
              HasSubstr("with dm-verity"));
}

}  // namespace
}  // namespace kata::storage
