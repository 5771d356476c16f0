// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/exec_process.h"

#include <stdlib.h>

#include <array>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sys/files.h"

namespace kata::cli::oci {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr std::array kExecFlags = {Flag{"cwd", '\0', true, ""},
                                   Flag{"env", 'e', true, ""},
                                   Flag{"tty", 't', false, ""},
                                   Flag{"user", 'u', true, ""},
                                   Flag{"additional-gids", 'g', true, ""},
                                   Flag{"process", 'p', true, ""},
                                   Flag{"no-new-privs", '\0', false, ""},
                                   Flag{"cap", 'c', true, ""}};

class ExecProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/kata-exec-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    directory_ = path;
    ASSERT_TRUE(sys::WriteFile(directory_ + "/config.json", R"({"process":{"terminal":true,
      "args":["sh"],"cwd":"/home","env":["A=1"],"user":{"uid":3,"gid":4},
      "consoleSize":{"height":1,"width":2},"capabilities":{"bounding":["CAP_KILL"]}}})"));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Result<ExecProcess> Read(std::initializer_list<const char*> words) {
    const std::vector<const char*> list(words);
    return ReadExecProcess(directory_, Arguments::Parse(kExecFlags, list, true).value());
  }

  std::string directory_;
};

TEST_F(ExecProcessTest, TakesTheContainersProcessWithTheCommandInItsPlace) {
  const auto process = Read({"c1", "ls", "-l"});
  ASSERT_TRUE(process) << process.error().message();
  EXPECT_FALSE(process->terminal);
  EXPECT_EQ(process->rows, 0u);
  const json parsed = json::parse(process->json);
  EXPECT_EQ(parsed["args"], json({"ls", "-l"}));
  EXPECT_EQ(parsed["cwd"], "/home");
  EXPECT_EQ(parsed["user"]["uid"], 3);
  EXPECT_EQ(parsed["env"], json({"A=1"}));
}

TEST_F(ExecProcessTest, FlagsChangeIt) {
  const auto process = Read({"-t", "--cwd", "/tmp", "-e", "B=2", "-u", "5:6", "-g", "7", "-c",
                             "CAP_CHOWN", "--no-new-privs", "c1", "ls"});
  ASSERT_TRUE(process) << process.error().message();
  EXPECT_TRUE(process->terminal);
  const json parsed = json::parse(process->json);
  EXPECT_EQ(parsed["cwd"], "/tmp");
  EXPECT_EQ(parsed["env"], json({"A=1", "B=2"}));
  EXPECT_EQ(parsed["user"], json({{"uid", 5}, {"gid", 6}, {"additionalGids", {7}}}));
  EXPECT_EQ(parsed["capabilities"]["bounding"], json({"CAP_KILL", "CAP_CHOWN"}));
  EXPECT_EQ(parsed["noNewPrivileges"], true);
}

TEST_F(ExecProcessTest, ReadsAFile) {
  const std::string path = directory_ + "/process.json";
  ASSERT_TRUE(sys::WriteFile(path, R"({"args":["x"],"cwd":"/","terminal":true,
    "consoleSize":{"height":31,"width":97}})"));
  const auto process = Read({"--process", path.c_str(), "c1"});
  ASSERT_TRUE(process) << process.error().message();
  EXPECT_TRUE(process->terminal);
  EXPECT_EQ(process->rows, 31u);
  EXPECT_EQ(process->columns, 97u);
}

TEST_F(ExecProcessTest, RefusesWhatMakesNoSense) {
  EXPECT_THAT(Read({"-u", "root", "c1", "ls"}).error().message(), HasSubstr("\"root\""));
  EXPECT_THAT(Read({"--cwd", "tmp", "c1", "ls"}).error().message(), HasSubstr("process.cwd"));
  EXPECT_FALSE(Read({"--process", "/no/such/file", "c1"}));
}

}  // namespace
}  // namespace kata::cli::oci
