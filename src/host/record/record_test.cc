// SPDX-License-Identifier: Apache-2.0
#include "host/record/record.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

class RecordTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-record-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(root_)); }

  std::string root_;
};

SandboxRecord Example() {
  return {.id = "ab12",
          .owner = "/run/containerd/s/00ff",
          .containers = {"ab12", "c2"},
          .processes = {{77, 123456, ProcessRole::kShim}, {78, 123460, ProcessRole::kVmm}},
          .paths = {"/run/vc/vm/ab12"},
          .cgroups = {"/sys/fs/cgroup/kata/ab12"},
          .sockets = {"/run/containerd/s/00ff"},
          .networks = {{.namespace_path = "/run/netns/x",
                        .namespace_id = {.device = 4, .inode = 4026532},
                        .connection = {.interface = "eth0",
                                       .link = 2,
                                       .tap = "tap0_kata",
                                       .model = network::Model::kMacvtap}}},
          .uppers = {{.directory = "/var/lib/docker/overlay2/00ff",
                      .device = 65,
                      .inode = 77,
                      .uid = 1,
                      .gid = 2,
                      .mode = 040710,
                      .upper = "diff",
                      .work = "work",
                      .entries = {"diff", "link", "work"}}}};
}

TEST_F(RecordTest, ComesBackAsItWasSaved) {
  ASSERT_TRUE(SaveRecord(Example(), root_));
  const auto loaded = LoadRecord("ab12", root_);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, Example());
}

// A name that came back as another would be taken for a guest's.
TEST_F(RecordTest, UppersWithNamesThatCannotComeBackAreNotRecordable) {
  storage::UpperTrace trace = Example().uppers[0];
  EXPECT_TRUE(IsRecordable(trace));
  trace.entries.insert("caf\xe9");
  EXPECT_FALSE(IsRecordable(trace));
  trace = Example().uppers[0];
  for (int i = 0; i < 1000; ++i) trace.entries.insert(std::to_string(i));
  EXPECT_FALSE(IsRecordable(trace));
}

TEST_F(RecordTest, IsReplacedAsAWhole) {
  ASSERT_TRUE(SaveRecord(Example(), root_));
  SandboxRecord second = Example();
  second.processes.clear();
  ASSERT_TRUE(SaveRecord(second, root_));
  EXPECT_EQ(LoadRecord("ab12", root_).value(), second);
}

TEST_F(RecordTest, AMissingRecordIsNotFound) {
  EXPECT_EQ(LoadRecord("ab12", root_).error().code(), Code::kNotFound);
}

TEST_F(RecordTest, EveryTruncationIsDataLoss) {
  const std::string whole = FormatRecord(Example());
  const size_t closing_brace = whole.rfind('}');
  for (size_t size = 0; size <= closing_brace; ++size) {
    const auto parsed = ParseRecord(whole.substr(0, size));
    ASSERT_FALSE(parsed) << size;
    ASSERT_EQ(parsed.error().code(), Code::kDataLoss) << size;
  }
}

TEST_F(RecordTest, RefusesForeignAndHostileContents) {
  const std::string head = R"({"version":1,"id":"a")";
  for (const std::string& text : {
           std::string("[]"),
           std::string(R"({"id":"a"})"),
           std::string(R"({"version":2,"id":"a"})"),
           head + R"(,"paths":{}})",
           head + R"(,"paths":[1]})",
           head + R"(,"uppers":[{}]})",
           head + R"(,"uppers":[{"directory":"/d","device":1,"inode":1,"uid":0,"gid":0,"mode":0,)"
                  R"("upper":"u","work":"w","entries":["u"]}]})",
           head + R"(,"processes":[{"pid":0,"start_time":1,"role":"vmm"}]})",
           head + R"(,"processes":[{"pid":-5,"start_time":1,"role":"vmm"}]})",
           head + R"(,"processes":[{"pid":1,"start_time":1,"role":"vmm"}]})",
           head + R"(,"processes":[{"pid":4294967297,"start_time":1,"role":"vmm"}]})",
           head + R"(,"processes":[{"pid":5,"start_time":1,"role":"king"}]})",
           std::string(100'000, '['),
       }) {
    const auto parsed = ParseRecord(text);
    ASSERT_FALSE(parsed) << text.substr(0, 80);
    EXPECT_EQ(parsed.error().code(), Code::kDataLoss);
  }
}

TEST_F(RecordTest, AProcessThatHasEndedIsForgottenAndOneThatHasItsNumberStays) {
  const ProcessEntry self = DescribeProcess(::getpid(), ProcessRole::kLogger).value();
  ProcessEntry earlier = self;
  --earlier.start_time;
  ProcessEntry other = earlier;
  ++other.pid;
  SandboxRecord record{.processes = {earlier, self, other}};
  ForgetEnded(&record, self.pid);
  EXPECT_EQ(record.processes, (std::vector<ProcessEntry>{self, other}));
}

TEST_F(RecordTest, ARecordOfAnotherSandboxIsDataLoss) {
  ASSERT_TRUE(sys::MakeDirs(root_ + "/other"));
  ASSERT_TRUE(sys::WriteFile(root_ + "/other/record.json", FormatRecord(Example())));
  EXPECT_EQ(LoadRecord("other", root_).error().code(), Code::kDataLoss);
}

TEST_F(RecordTest, DoesNotSaveOutsideOfItsRoot) {
  for (const char* id : {"", ".", "..", "../x", "a/b"}) {
    SandboxRecord record;
    record.id = id;
    EXPECT_EQ(SaveRecord(record, root_).error().code(), Code::kInvalidArgument) << id;
  }
}

TEST(ProcessEntry, IsAliveUntilItsProcessEnds) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const auto entry = DescribeProcess(child, ProcessRole::kVmm);
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_TRUE(IsAlive(*entry));
  ProcessEntry earlier = *entry;
  --earlier.start_time;
  EXPECT_FALSE(IsAlive(earlier));
  ::kill(child, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(IsAlive(*entry)) << "a zombie is not alive";
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(IsAlive(*entry));
}

}  // namespace
}  // namespace kata::sandbox
