// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/metrics.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::guest {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(FormatMetrics, ReadsWhatTheKernelReports) {
  const sys::TemporaryDir temporary{"metrics"};
  const std::string& root = temporary.path();
  ASSERT_TRUE(sys::MakeDirs(root + "/net"));
  ASSERT_TRUE(sys::WriteFile(root + "/loadavg", "0.50 0.25 0.10 2/87 1234\n"));
  ASSERT_TRUE(sys::WriteFile(
      root + "/meminfo",
      "MemTotal:     1000 kB\nActive(anon):  2 kB\nHugePages_Total:  3\nSUnreclaim: 1 kB\n"));
  ASSERT_TRUE(sys::WriteFile(root + "/stat", "cpu  10 0 20 30\ncpu0 1 2 3 4\nctxt 9\n"));
  ASSERT_TRUE(sys::WriteFile(root + "/net/dev",
                             "Inter-|   Receive\n face |bytes\n    lo: 100 2 0 0 0 0 0 0 300 4\n"));
  ASSERT_TRUE(sys::WriteFile(root + "/vmstat", "pgfault 7\noom_kill 0\n"));
  ASSERT_TRUE(sys::WriteFile(root + "/diskstats",
                             " 253 0 vda 5 1 80 2 3 0 24 1 0 4 4 0 0 0 0 1 2\n"
                             "   7 0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"));
  const std::string text = FormatMetrics(root, {.scrapes = 3, .containers = 2, .processes = 5});
  EXPECT_THAT(text, HasSubstr("kata_guest_load{item=\"load1\"} 0.5\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_tasks{item=\"max\"} 87\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_meminfo{item=\"mem_total\"} 1024000\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_meminfo{item=\"active_anon\"} 2048\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_meminfo{item=\"hugepages_total\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_cpu_time{cpu=\"total\",item=\"system\"} 20\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_cpu_time{cpu=\"0\",item=\"idle\"} 4\n"));
  EXPECT_THAT(text,
              HasSubstr("kata_guest_netdev_stat{interface=\"lo\",item=\"sent_bytes\"} 300\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_meminfo{item=\"s_unreclaim\"} 1024\n"));
  EXPECT_THAT(text, HasSubstr("kata_guest_vm_stat{item=\"pgfault\"} 7\n"));
  EXPECT_THAT(text, Not(HasSubstr("oom_kill")));
  EXPECT_THAT(text, HasSubstr("kata_guest_diskstat{disk=\"vda\",item=\"sectors_written\"} 24\n"));
  EXPECT_THAT(text, Not(HasSubstr("loop0")));
  EXPECT_THAT(text, HasSubstr("kata_agent_scrape_count 3\n"));
  EXPECT_THAT(text, HasSubstr("kata_agent_containers 2\n"));
  EXPECT_THAT(text, HasSubstr("kata_agent_processes 5\n"));
  EXPECT_TRUE(sys::RemoveTree(root));
}

TEST(FormatMetrics, LeavesOutWhatIsMissing) {
  const std::string text = FormatMetrics("/nonexistent", {});
  EXPECT_THAT(text, Not(HasSubstr("kata_guest_")));
  EXPECT_THAT(text, HasSubstr("# TYPE kata_agent_containers gauge\nkata_agent_containers 0\n"));
}

}  // namespace
}  // namespace kata::guest
