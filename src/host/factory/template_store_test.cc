// SPDX-License-Identifier: Apache-2.0
#include "host/factory/template_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::factory {
namespace {

using ::testing::HasSubstr;

class TemplateStoreTest : public ::testing::Test {
 protected:
  ~TemplateStoreTest() override { EXPECT_TRUE(sys::RemoveTree(root_)); }

  TemplateInfo Publish(const std::string& key) {
    const sys::UniqueFd memory(::memfd_create("memory", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(memory.get(), 1 << 20), 0);
    EXPECT_EQ(::pwrite(memory.get(), key.data(), key.size(), 300'000), ssize_t(key.size()));
    const auto state = store_.MakeStateFolder();
    EXPECT_TRUE(state) << state.error().message();
    EXPECT_TRUE(sys::WriteFile(*state + "/devices", "state of " + key));
    EXPECT_TRUE(sys::WriteFile(*state + "/config", key));
    auto info = store_.Publish(
        {.key = key, .memory_mib = 1, .memory = memory.get(), .state_folder = *state});
    EXPECT_TRUE(info) << info.error().message();
    return info ? *info : TemplateInfo{};
  }
  std::string File(const std::string& key, const std::string& file) {
    return fmt::format("{}/{}/{}", root_, TemplateStore::NameOf(key), file);
  }
  Code OpenError(const std::string& key) {
    const auto opened = store_.Open(key);
    return opened ? Code::kOk : opened.error().code();
  }

  std::string root_;
  TemplateStore store_{[this] {
    char name[] = "/tmp/templates-XXXXXX";
    return root_ = ::mkdtemp(name);
  }()};
};

TEST_F(TemplateStoreTest, GivesWhatWasPublished) {
  EXPECT_EQ(OpenError("a"), Code::kNotFound);
  Publish("a");
  const auto opened = store_.Open("a");
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->state, (StateFiles{{"config", "a"}, {"devices", "state of a"}}));
  EXPECT_FALSE(sys::Exists(root_ + "/.new-state"));
  EXPECT_EQ(opened->info.memory_mib, 1u);
  const sys::UniqueFd copy(::memfd_create("copy", MFD_CLOEXEC));
  ASSERT_TRUE(LoadMemory(opened->memory.get(), opened->info.memory, copy.get()));
  EXPECT_EQ(OpenError("b"), Code::kNotFound);
  // Who has it open keeps it.
  ASSERT_TRUE(store_.Remove(opened->info.name));
  EXPECT_EQ(OpenError("a"), Code::kNotFound);
  EXPECT_TRUE(LoadMemory(opened->memory.get(), opened->info.memory, -1));
}

TEST_F(TemplateStoreTest, DamageIsTold) {
  Publish("a");
  ASSERT_EQ(::truncate(File("a", "memory").c_str(), 1000), 0);
  EXPECT_EQ(OpenError("a"), Code::kDataLoss);
  Publish("a");
  EXPECT_EQ(OpenError("a"), Code::kOk) << "a new one takes the place of the damaged one";
  ASSERT_TRUE(sys::WriteFile(File("a", "state/devices"), "state of b"));
  EXPECT_EQ(OpenError("a"), Code::kDataLoss);
  Publish("a");
  ASSERT_TRUE(sys::RemoveFile(File("a", "state/config")));
  EXPECT_EQ(OpenError("a"), Code::kDataLoss);
  Publish("a");
  ASSERT_TRUE(sys::RemoveTree(File("a", "state")));
  EXPECT_EQ(OpenError("a"), Code::kDataLoss);
  Publish("a");
  ASSERT_TRUE(sys::WriteFile(File("a", "manifest.json"), "{\"version\":1"));
  EXPECT_EQ(OpenError("a"), Code::kDataLoss);
  EXPECT_TRUE(store_.List()->empty());
  Publish("a");
  const auto manifest = sys::ReadFile(File("a", "manifest.json"));
  std::string later = *manifest;
  later.replace(later.find("\"version\":1"), 11, "\"version\":2");
  ASSERT_TRUE(sys::WriteFile(File("a", "manifest.json"), later));
  EXPECT_THAT(store_.Open("a").error().message(), HasSubstr("another version"));
}

TEST_F(TemplateStoreTest, OthersMustNotWriteThere) {
  Publish("a");
  ASSERT_EQ(::chmod(root_.c_str(), 0777), 0);
  EXPECT_EQ(OpenError("a"), Code::kPermissionDenied);
  EXPECT_EQ(store_.TryLock().error().code(), Code::kPermissionDenied);
  ASSERT_EQ(::chmod(root_.c_str(), 0700), 0);
}

TEST_F(TemplateStoreTest, OneBuilderAtATime) {
  auto first = store_.TryLock();
  ASSERT_TRUE(first && *first);
  auto second = store_.TryLock();
  ASSERT_TRUE(second);
  EXPECT_FALSE(*second);
  EXPECT_EQ(store_.Lock(Deadline::After({})).error().code(), Code::kDeadlineExceeded);
  first->reset();
  EXPECT_TRUE(store_.Lock(Deadline::After(std::chrono::seconds(10))));
}

TEST_F(TemplateStoreTest, KeepsTheLastUsedAndNoLeavings) {
  ASSERT_TRUE(sys::MakeDirs(root_ + "/.new-0123"));
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) {
    Publish(key);
    const timespec past[2] = {{1000 + *key, 0}, {1000 + *key, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, File(key, "").c_str(), past, 0), 0);
    if (*key == 'd') {
      EXPECT_EQ(OpenError("a"), Code::kOk);
    }
  }
  EXPECT_FALSE(sys::Exists(root_ + "/.new-0123"));
  const auto list = store_.List();
  ASSERT_EQ(list->size(), 4u);
  EXPECT_EQ(list->front().key, "a") << "it was used last";
  EXPECT_EQ(OpenError("b"), Code::kNotFound);
  EXPECT_EQ(OpenError("f"), Code::kOk);
}

TEST_F(TemplateStoreTest, AFailureHoldsForAWhile) {
  EXPECT_FALSE(store_.FailedLately("a"));
  EXPECT_TRUE(store_.Failures().empty());
  store_.NoteFailure("a", "no space");
  EXPECT_EQ(store_.Failures(), std::vector<std::string>{"no space"});
  EXPECT_TRUE(store_.FailedLately("a"));
  EXPECT_FALSE(store_.FailedLately("b"));
  const timespec past[2] = {{1000, 0}, {1000, 0}};
  const std::string note = root_ + "/.failed-" + TemplateStore::NameOf("a");
  ASSERT_EQ(::utimensat(AT_FDCWD, note.c_str(), past, 0), 0);
  EXPECT_FALSE(store_.FailedLately("a"));
  EXPECT_TRUE(store_.Failures().empty());
  store_.NoteFailure("b", "no space either");
  EXPECT_FALSE(sys::Exists(note)) << "one that holds no longer goes with the next";
}

TEST(Manifest, ExtentsStayInside) {
  TemplateInfo info{.key = "k", .memory_mib = 1};
  info.memory.extents = {{0, kBlock}, {1 << 20, kBlock}};
  EXPECT_EQ(ParseManifest(FormatManifest(info)).error().code(), Code::kDataLoss);
  info.memory.extents = {{kBlock, kBlock}, {0, kBlock}};
  EXPECT_EQ(ParseManifest(FormatManifest(info)).error().code(), Code::kDataLoss);
  info.memory.extents = {{0, kBlock}, {kBlock * 4, kBlock}};
  EXPECT_EQ(ParseManifest(FormatManifest(info))->memory.extents, info.memory.extents);
}

}  // namespace
}  // namespace kata::factory
