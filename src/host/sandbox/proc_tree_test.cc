// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/proc_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using testing::HasSubstr;

guest::GuestProcess MakeProcess(uint32_t pid, uint32_t parent, const std::string& inner) {
  guest::GuestProcess process;
  process.set_pid(pid);
  process.set_parent(parent);
  process.set_started(1000);
  process.set_stat_file(std::to_string(pid) + " (a (b) c) S " + std::to_string(parent) +
                        " 1 1 0 -1 4194560 10 0 0 0 5 6 0 0 20 0 1 0 500 1000000 100\n");
  process.set_status_file("Name:\ta\nTgid:\t9\nPid:\t9\nPPid:\t8\nUid:\t0\t0\t0\t0\nNSpid:\t" +
                          std::to_string(pid) + inner + "\nThreads:\t1\n");
  process.set_command_file(std::string("a\0-b\0", 5));
  return process;
}

const sys::FuseTree::Node* Find(const sys::FuseTree& tree, const std::string& path) {
  uint64_t id = sys::FuseTree::kRoot;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const auto& entries = tree.nodes.at(id).entries;
    const auto entry = entries.find(path.substr(begin, end - begin));
    if (entry == entries.end()) return nullptr;
    id = entry->second;
    begin = end + 1;
  }
  return &tree.nodes.at(id);
}

TEST(ProcTree, NumbersProcessesAsTheContainerDoes) {
  const auto tree = MakeProcTree({MakeProcess(90, 3, "\t1"), MakeProcess(95, 90, "\t6")});
  ASSERT_NE(Find(*tree, "6/stat"), nullptr);
  EXPECT_TRUE(Find(*tree, "6/stat")->content.starts_with("6 (a (b) c) S 1 1 1 0"));
  EXPECT_TRUE(Find(*tree, "1/stat")->content.starts_with("1 (a (b) c) S 0 1 1 0"));
  EXPECT_THAT(Find(*tree, "6/status")->content, HasSubstr("\nPid:\t6\nPPid:\t1\nUid:\t0"));
  EXPECT_EQ(Find(*tree, "6/cmdline")->content, std::string("a\0-b\0", 5));
  EXPECT_EQ(Find(*tree, "90"), nullptr);
  // 500 ticks after the boot.
  EXPECT_EQ(Find(*tree, "stat")->content, "btime 995\n");
}

TEST(ProcTree, LeavesOutWhatTheGuestDoesNotTellOrTellsBadly) {
  guest::GuestProcess silent;
  silent.set_pid(5);
  guest::GuestProcess broken = MakeProcess(6, 1, "\t2");
  broken.set_stat_file("6 (no end");
  guest::GuestProcess nameless = MakeProcess(7, 1, "\t3");
  nameless.set_status_file("");
  const auto tree = MakeProcTree({silent, broken, nameless, MakeProcess(8, 1, "\tx")});
  EXPECT_EQ(tree->nodes.at(sys::FuseTree::kRoot).entries.size(), 1u);
}

}  // namespace
}  // namespace kata::sandbox
