// SPDX-License-Identifier: Apache-2.0
#include "sys/fuse_tree.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::sys {
namespace {

FuseTree ATree() {
  FuseTree tree;
  tree.nodes[FuseTree::kRoot] = {.type = S_IFDIR, .content = {}, .entries = {{"7", 16}}};
  tree.nodes[16] = {.type = S_IFDIR, .content = {}, .entries = {{"link", 18}, {"stat", 17}}};
  tree.nodes[17] = {.type = S_IFREG, .content = "7 (sh) S", .entries = {}};
  tree.nodes[18] = {.type = S_IFLNK, .content = "pid:[1]", .entries = {}};
  return tree;
}

std::string Request(uint32_t opcode, uint64_t node, std::string_view body = {}) {
  fuse_in_header header{};
  header.len = static_cast<uint32_t>(sizeof header + body.size());
  header.opcode = opcode;
  header.unique = 5;
  header.nodeid = node;
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  return text.append(body);
}

int ErrorOf(const std::optional<std::string>& answer) {
  fuse_out_header header{};
  if (!answer || answer->size() < sizeof header) return -1;
  std::memcpy(&header, answer->data(), sizeof header);
  EXPECT_EQ(header.unique, 5u);
  EXPECT_EQ(header.len, answer->size());
  return -header.error;
}

TEST(AnswerFuse, FindsAndReadsWhatTheTreeHas) {
  const FuseTree tree = ATree();
  EXPECT_EQ(ErrorOf(AnswerFuse(Request(FUSE_LOOKUP, 1, std::string_view("7\0", 2)), tree)), 0);
  EXPECT_EQ(ErrorOf(AnswerFuse(Request(FUSE_LOOKUP, 1, std::string_view("8\0", 2)), tree)), ENOENT);
  EXPECT_EQ(ErrorOf(AnswerFuse(Request(FUSE_GETATTR, 99), tree)), ENOENT);
  fuse_read_in in{};
  in.offset = 2;
  in.size = 4;
  const auto read =
      AnswerFuse(Request(FUSE_READ, 17, {reinterpret_cast<const char*>(&in), sizeof in}), tree);
  ASSERT_EQ(ErrorOf(read), 0);
  EXPECT_EQ(read->substr(sizeof(fuse_out_header)), "(sh)");
}

TEST(AnswerFuse, WritesNothingAndSurvivesNonsense) {
  const FuseTree tree = ATree();
  for (uint32_t opcode = 0; opcode < 60; ++opcode) {
    for (const uint64_t node : {0, 1, 16, 17, 18, 99}) {
      (void)AnswerFuse(Request(opcode, node), tree);
      (void)AnswerFuse(Request(opcode, node, "x"), tree);
    }
  }
  for (const uint32_t opcode : {FUSE_WRITE, FUSE_MKDIR, FUSE_UNLINK, FUSE_SETATTR, FUSE_CREATE}) {
    EXPECT_EQ(ErrorOf(AnswerFuse(Request(opcode, 1), tree)), ENOSYS);
  }
  EXPECT_FALSE(AnswerFuse("short", tree));
}

TEST(FuseServer, ShowsTheTreeToTheKernel) {
  auto made = MakeFuseMount("kata-test");
  if (!made) GTEST_SKIP() << made.error().message();
  char path[] = "/tmp/kata-fuse-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  {
    const auto place = Open(path, O_PATH);
    ASSERT_TRUE(place && AttachMount(made->mount.get(), place->get()));
  }
  made->mount.Reset();
  const auto loop = EventLoop::Create().value();
  int looks = 0;
  const auto server = std::make_shared<FuseServer>(*loop, std::move(made->device), [&](auto done) {
    ++looks;
    done(std::make_shared<FuseTree>(ATree()));
  });
  std::string stat;
  std::string link;
  size_t entries = 0;
  bool written = true;
  std::thread reader([&] {
    stat = ReadFile(fmt::format("{}/7/stat", path)).value_or("");
    std::error_code ignored;
    link = std::filesystem::read_symlink(fmt::format("{}/7/link", path), ignored);
    for (const auto& each : std::filesystem::directory_iterator(fmt::format("{}/7", path), ignored))
      entries += each.exists(ignored) ? 1 : 1;
    written = WriteFile(fmt::format("{}/new", path), "x").has_value();
    ::umount2(path, MNT_DETACH);
    loop->Stop();
  });
  loop->RunAfter(std::chrono::seconds(20), [&] {
    ADD_FAILURE() << "no end within the deadline";
    server->Stop();
    loop->Stop();
  });
  server->Start();
  ASSERT_TRUE(loop->Run());
  reader.join();
  EXPECT_EQ(stat, "7 (sh) S");
  EXPECT_EQ(link, "pid:[1]");
  EXPECT_EQ(entries, 2u);
  EXPECT_FALSE(written);
  EXPECT_GE(looks, 1);
  ::rmdir(path);
}

}  // namespace
}  // namespace kata::sys
