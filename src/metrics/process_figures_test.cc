// SPDX-License-Identifier: Apache-2.0
#include "metrics/process_figures.h"

#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metrics/text.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::metrics {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ProcessFigures, ReadsWhatTheKernelWrites) {
  const sys::TemporaryDir temporary{"process"};
  const std::string& directory = temporary.path();
  ASSERT_TRUE(sys::MakeDirs(directory + "/fd/0"));
  ASSERT_TRUE(sys::WriteFile(
      directory + "/stat", "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 50 25 6 7 20 0 3 0 900 1\n"));
  ASSERT_TRUE(sys::WriteFile(directory + "/status",
                             "Name:\ta\nUid:\t0\t0\nVmRSS:\t    8 kB\nVmHWM:\t  16 kB\n"
                             "Threads:\t3\nvoluntary_ctxt_switches:\t9\n"));
  ASSERT_TRUE(sys::WriteFile(directory + "/io", "rchar: 5\nwrite_bytes: 6\n"));
  ASSERT_TRUE(sys::WriteFile(directory + "/limits",
                             "Max open files            1024                 4096       files\n"));
  const ProcessFigures figures = ReadProcess(directory);
  Builder builder;
  AddProcess(builder, "kata_shim", figures);
  AddCommonFigures(builder, "kata_shim", figures, "cpu 1\nbtime 1000\n");
  const std::string text = FormatText(builder.Take());
  EXPECT_THAT(text, HasSubstr("kata_shim_threads 3\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_fds 1\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_proc_stat{item=\"utime\"} 50\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_proc_stat{item=\"cstime\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_proc_status{item=\"vmrss\"} 8192\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_proc_status{item=\"voluntary_ctxt_switches\"} 9\n"));
  EXPECT_THAT(text, Not(HasSubstr("uid")));
  EXPECT_THAT(text, HasSubstr("kata_shim_io_stat{item=\"write_bytes\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_process_max_fds 1024\n"));
  EXPECT_THAT(text, HasSubstr("kata_shim_process_resident_memory_bytes 8192\n"));
  EXPECT_EQ(figures.start_ticks, 900);
  EXPECT_TRUE(sys::RemoveTree(directory));
}

TEST(ProcessFigures, AddsProcessesUp) {
  ProcessFigures one;
  one.threads = 2;
  one.status["vmrss"] = 10;
  one.start_ticks = 9;
  ProcessFigures other = one;
  other.start_ticks = 5;
  const ProcessFigures sum = Sum({one, other});
  EXPECT_EQ(sum.threads, 4);
  EXPECT_EQ(sum.Status("vmrss"), 20);
  EXPECT_EQ(sum.Status("vmpeak"), 0);
  EXPECT_EQ(sum.start_ticks, 5);
}

TEST(ProcessFigures, OfAProcessThatHasGoneAreNone) {
  Builder builder;
  AddProcess(builder, "kata_shim", ReadProcess("/nonexistent"));
  EXPECT_EQ(FormatText(builder.Take()).find("item="), std::string::npos);
}

}  // namespace
}  // namespace kata::metrics
