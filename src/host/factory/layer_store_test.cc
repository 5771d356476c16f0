// SPDX-License-Identifier: Apache-2.0
#include "host/factory/layer_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::factory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kMib = 1 << 20;

class LayerStoreTest : public ::testing::Test {
 protected:
  LayerStoreTest() {
    for (const char name : {'a', 'b', 'c', 'd', 'e', 'f'}) {
      EXPECT_TRUE(sys::MakeDirs(Layer(name)));
    }
  }
  std::string Layer(char name) const { return temporary_.path() + "/layer-" + name; }
  LayerKey Key(char name) const {
    return {.name = std::string(64, name), .directory = Layer(name), .entries = 100};
  }

  // An image of that many bytes; what matters here is its size.
  Code Publish(char name, uint64_t bytes = kMib) {
    const auto lock = store_.Lock(Deadline::After({}));
    const auto image = store_.Begin(Key(name), bytes);
    if (!image) return image.error().code();
    EXPECT_TRUE(sys::WriteFile(*image, std::string(bytes, name)));
    const auto published = store_.Publish(Key(name));
    EXPECT_TRUE(published) << published.error().message();
    return Code::kOk;
  }
  Code OpenError(char name) {
    const auto opened = store_.Open(Key(name));
    return opened ? Code::kOk : opened.error().code();
  }
  std::string File(char name, const std::string& file) const {
    return root_ + "/" + Key(name).name + file;
  }
  void UsedAt(char name, int64_t seconds) const {
    const timespec past[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, File(name, "").c_str(), past, 0), 0);
  }
  static std::vector<std::string> Directories(const Result<std::vector<LayerInfo>>& list) {
    std::vector<std::string> directories;
    for (const LayerInfo& info : *list) directories.push_back(info.directory);
    return directories;
  }

  const sys::TemporaryDir temporary_{"layer-store"};
  const std::string root_ = temporary_.path() + "/layers";
  const LayerStore store_{root_, 4};
};

TEST_F(LayerStoreTest, GivesWhatWasPublished) {
  EXPECT_EQ(OpenError('a'), Code::kNotFound);
  EXPECT_EQ(Publish('a'), Code::kOk);
  const auto opened = store_.Open(Key('a'));
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->path, File('a', "/image"));
  EXPECT_EQ(opened->info.directory, Layer('a'));
  EXPECT_EQ(opened->info.entries, 100u);
  EXPECT_EQ(opened->info.image_bytes, kMib);
  struct stat status{};
  ASSERT_EQ(::stat(opened->path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777u, 0400u);
  EXPECT_EQ(OpenError('b'), Code::kNotFound);
  // Who has it open keeps it.
  ASSERT_TRUE(store_.Remove(Key('a').name));
  EXPECT_EQ(OpenError('a'), Code::kNotFound);
  EXPECT_EQ(sys::ReadToEnd(opened->fd.get(), kMib)->size(), kMib);
}

TEST_F(LayerStoreTest, DamageIsToldAndMendedByTheNextBuild) {
  EXPECT_EQ(Publish('a'), Code::kOk);
  ASSERT_EQ(::truncate(File('a', "/image").c_str(), kMib - 1), 0);
  EXPECT_EQ(OpenError('a'), Code::kDataLoss);
  EXPECT_EQ(Publish('a'), Code::kOk) << "it takes the place of the damaged one";
  EXPECT_EQ(OpenError('a'), Code::kOk);
  ASSERT_TRUE(sys::RemoveFile(File('a', "/image")));
  EXPECT_EQ(OpenError('a'), Code::kDataLoss);
  ASSERT_EQ(::symlink("/etc/passwd", File('a', "/image").c_str()), 0);
  EXPECT_EQ(OpenError('a'), Code::kDataLoss);
  EXPECT_EQ(Publish('a'), Code::kOk);
  ASSERT_TRUE(sys::WriteFile(File('a', "/manifest.json"), "{\"version\":2}"));
  EXPECT_THAT(store_.Open(Key('a')).error().message(), HasSubstr("another version"));
  for (const char* manifest : {"", "{\"version\":1", "[]", "{\"version\":1,\"created\":\"x\"}"}) {
    ASSERT_TRUE(sys::WriteFile(File('a', "/manifest.json"), manifest));
    EXPECT_EQ(OpenError('a'), Code::kDataLoss) << manifest;
  }
  EXPECT_TRUE(store_.List()->empty());
}

TEST_F(LayerStoreTest, OthersMustNotWriteThere) {
  EXPECT_EQ(Publish('a'), Code::kOk);
  ASSERT_EQ(::chmod(root_.c_str(), 0770), 0);
  EXPECT_EQ(OpenError('a'), Code::kPermissionDenied);
  EXPECT_EQ(store_.TryLock().error().code(), Code::kPermissionDenied);
  EXPECT_THAT(store_.TryLock().error().message(), HasSubstr("must belong to this user"));
}

TEST_F(LayerStoreTest, WhatWasNotUsedForLongestMakesRoom) {
  ASSERT_TRUE(sys::MakeDirs(root_, 0700));
  ASSERT_TRUE(sys::MakeDirs(root_ + "/.new-left"));
  ASSERT_TRUE(sys::MakeDirs(root_ + "/.gone-left"));
  for (const char name : {'a', 'b', 'c', 'd'}) {
    EXPECT_EQ(Publish(name), Code::kOk);
    UsedAt(name, 1000 + name);
  }
  EXPECT_FALSE(sys::Exists(root_ + "/.new-left"));
  EXPECT_FALSE(sys::Exists(root_ + "/.gone-left"));
  EXPECT_EQ(store_.List()->size(), 4u);
  EXPECT_EQ(OpenError('a'), Code::kOk) << "and so it was used";
  EXPECT_EQ(Publish('e', 2 * kMib), Code::kOk);
  EXPECT_EQ(OpenError('b'), Code::kNotFound);
  EXPECT_EQ(OpenError('c'), Code::kNotFound);
  EXPECT_EQ(OpenError('a'), Code::kOk);
  EXPECT_EQ(Publish('f', 4 * kMib + 1), Code::kResourceExhausted);
  EXPECT_EQ(store_.List()->size(), 3u) << "which made no room for nothing";
}

TEST_F(LayerStoreTest, IsPrunedToASize) {
  for (const char name : {'a', 'b', 'c'}) {
    EXPECT_EQ(Publish(name), Code::kOk);
    UsedAt(name, 1000 + name);
  }
  const auto removed = store_.Prune(2 * kMib, Deadline::After({}));
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_THAT(Directories(removed), ElementsAre(Layer('a')));
  EXPECT_THAT(Directories(store_.List()), ElementsAre(Layer('c'), Layer('b')));
  EXPECT_EQ(Directories(store_.Prune(0, Deadline::After({}))).size(), 2u);
  const auto lock = store_.TryLock();
  EXPECT_EQ(store_.Prune(0, Deadline::After({})).error().code(), Code::kDeadlineExceeded);
}

TEST_F(LayerStoreTest, ImagesOfLayersThatAreGoneGoFirst) {
  EXPECT_EQ(Publish('a'), Code::kOk);
  EXPECT_EQ(Publish('b'), Code::kOk);
  ASSERT_TRUE(sys::RemoveTree(Layer('b')));
  EXPECT_EQ(Publish('c'), Code::kOk);
  EXPECT_EQ(OpenError('b'), Code::kNotFound);
  EXPECT_EQ(OpenError('a'), Code::kOk);
}

TEST_F(LayerStoreTest, TakesATenthOfTheDiskWhereNothingElseIsSaid) {
  EXPECT_EQ(store_.Limit(), 4 * kMib);
  const LayerStore by_default(temporary_.path(), 0);
  const auto limit = by_default.Limit();
  ASSERT_TRUE(limit);
  EXPECT_GT(*limit, 0u);
  EXPECT_LE(*limit, uint64_t{20} << 30);
}

TEST_F(LayerStoreTest, ADiscardedImageLeavesNothing) {
  const auto lock = store_.Lock(Deadline::After({}));
  const auto image = store_.Begin(Key('a'), kMib);
  ASSERT_TRUE(image);
  ASSERT_TRUE(sys::WriteFile(*image, "half"));
  store_.Discard(Key('a'));
  EXPECT_THAT(sys::ListDirectory(root_), ElementsAre(".lock"));
}

}  // namespace
}  // namespace kata::factory
