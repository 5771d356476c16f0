// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/process_table.h"

#include <stdlib.h>
#include <time.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kata::cli::oci {
namespace {

constexpr uint64_t kNow = 1'700'000'000;

class ProcessTableTest : public testing::Test {
 protected:
  ProcessTableTest() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    task::ProcessInfo* process = response_.add_processes();
    process->mutable_look()->set_pid(42);
    task::ProcessLook* look = process->mutable_look();
    look->set_parent(7);
    look->set_uid(5);
    look->set_started(kNow - 3600);
    look->set_cpu_seconds(3725);
    look->set_name("sleep");
    look->set_command("sleep 9\n\x1b[31m");
    look->set_status("Ss+");
    look->set_terminal("pts/0");
  }

  Result<std::string> Table(std::vector<std::string> options) {
    return ProcessTable(response_, options, {.now = kNow, .name_of = [](uint32_t uid) {
                                               return "user" + std::to_string(uid);
                                             }});
  }

  task::PidsResponse response_;
};

TEST_F(ProcessTableTest, IsFullWithoutOptionsAndShowsOnlyPrintableText) {
  const std::string full =
      "UID          PID    PPID  C STIME TTY          TIME CMD\n"
      "user5         42       7  0 21:13 pts/0    01:02:05 sleep 9??[31m\n";
  EXPECT_EQ(Table({}).value(), full);
  EXPECT_EQ(Table({"-ef"}).value(), full);
  EXPECT_EQ(Table({"-e", "-f"}).value(), full);
}

TEST_F(ProcessTableTest, HasThePlainAndTheBsdFormat) {
  EXPECT_EQ(Table({"-e"}).value(),
            "    PID TTY          TIME CMD\n"
            "     42 pts/0    01:02:05 sleep\n");
  const std::string bsd =
      "    PID TTY      STAT   TIME COMMAND\n"
      "     42 pts/0    Ss+   62:05 sleep 9??[31m\n";
  EXPECT_EQ(Table({"-e", "-x"}).value(), bsd);
  EXPECT_EQ(Table({"ax"}).value(), bsd);
}

TEST_F(ProcessTableTest, ShowsTheDayOfWhatIsOlderThanADay) {
  response_.mutable_processes(0)->mutable_look()->set_started(kNow - 2 * 86400);
  EXPECT_NE(Table({})->find(" Nov12 "), std::string::npos) << Table({}).value();
}

TEST_F(ProcessTableTest, NamesAnUnknownOption) {
  for (const char* option : {"-o", "aux", "--forest", "-"}) {
    const auto table = Table({option});
    ASSERT_FALSE(table) << option;
    EXPECT_EQ(table.error().code(), Code::kInvalidArgument);
    EXPECT_NE(table.error().message().find(option), std::string::npos);
  }
}

}  // namespace
}  // namespace kata::cli::oci
