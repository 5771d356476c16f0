// SPDX-License-Identifier: Apache-2.0
//
// The whole command over a folder that stands for a system: nothing that runs here has a part in
// it.
#include "host/cli/setup/setup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::cli::setup {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

const KataPrograms kSetupPrograms{.runtime = "/usr/bin/kata-runtime",
                                  .shim = "/usr/bin/containerd-shim-kata-v2"};

class SetupTest : public testing::Test {
 protected:
  SetupTest() { EXPECT_TRUE(sys::MakeDirs(Path("/var/lib"))); }

  std::string Path(const std::string& name) const { return root_.path() + name; }
  void Put(const std::string& name, const std::string& text) {
    const std::string path = Path(name);
    ASSERT_TRUE(sys::MakeDirs(path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(sys::WriteFile(path, text));
  }
  std::string Get(const std::string& name) const {
    return sys::ReadFile(Path(name)).value_or("(none)");
  }
  // Every file and folder of the system, but its root and /var/lib.
  std::vector<std::string> All() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_.path())) {
      const std::string name = entry.path().string().substr(root_.path().size());
      if (name != "/var" && name != "/var/lib") all.push_back(name);
    }
    return all;
  }

  SetupOptions Options() const { return {.sysroot = root_.path()}; }
  SetupOptions UndoOptions() const { return {.undo = true, .sysroot = root_.path()}; }

  Result<SetupReport> Run(const std::string& word, SetupOptions options) {
    said_.clear();
    return RunSetup(word, std::move(options), kSetupPrograms,
                    [this](std::string_view text) { said_ += text; });
  }
  void RunWell(const std::string& word, SetupOptions options) {
    const auto report = Run(word, std::move(options));
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_TRUE(report->ok()) << said_;
  }

  sys::TemporaryDir root_{"kata-setup"};
  std::string said_;
};

TEST_F(SetupTest, PutsBackEveryByteOfAFile) {
  const std::string before = "{\r\n\t\"debug\" : true }";
  Put("/etc/docker/daemon.json", before);
  ASSERT_EQ(::chmod(Path("/etc/docker/daemon.json").c_str(), 0600), 0);
  const auto all = All();
  SetupOptions options = Options();
  options.make_default = true;
  RunWell("docker", options);
  EXPECT_THAT(said_, HasSubstr("+++ " + Path("/etc/docker/daemon.json")));
  EXPECT_THAT(said_, HasSubstr("--undo --sysroot " + root_.path()));
  EXPECT_THAT(Get("/etc/docker/daemon.json"), HasSubstr("\"default-runtime\": \"kata\""));
  RunWell("docker", UndoOptions());
  EXPECT_EQ(Get("/etc/docker/daemon.json"), before);
  EXPECT_EQ(All(), all);
  struct stat status{};
  ASSERT_EQ(::stat(Path("/etc/docker/daemon.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(SetupTest, LeavesNothingOfWhatItMade) {
  for (const char* word : {"docker", "containerd", "podman", "cri-o"}) {
    RunWell(word, Options());
    EXPECT_THAT(All(), Contains(HasSubstr("/setup/" + std::string(word)))) << word;
    RunWell(word, UndoOptions());
    EXPECT_THAT(All(), IsEmpty()) << word;
  }
}

TEST_F(SetupTest, ADryRunChangesNothing) {
  SetupOptions options = Options();
  options.dry_run = true;
  RunWell("podman", options);
  EXPECT_THAT(said_, HasSubstr("+[engine.runtimes]\n+kata = [\"/usr/bin/kata-runtime\"]\n"));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(SetupTest, ASecondRunHasNothingToDoAndKeepsTheDefault) {
  SetupOptions options = Options();
  options.make_default = true;
  for (const char* word : {"docker", "containerd", "podman", "cri-o"}) {
    RunWell(word, options);
    RunWell(word, Options());
    EXPECT_THAT(said_, HasSubstr("nothing to do")) << word;
  }
  EXPECT_THAT(Get("/etc/containers/containers.conf.d/50-kata.conf"),
              HasSubstr("runtime = \"kata\"\n"));
}

TEST_F(SetupTest, AnUndoWithoutASetupSaysSo) {
  RunWell("docker", UndoOptions());
  EXPECT_THAT(said_, HasSubstr("nothing to do: setup docker has changed nothing here"));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(SetupTest, AnUndoAfterTwoSetupsGivesTheFirstFileBack) {
  Put("/etc/docker/daemon.json", "{}\n");
  RunWell("docker", Options());
  SetupOptions options = Options();
  options.make_default = true;
  RunWell("docker", options);
  RunWell("docker", UndoOptions());
  EXPECT_EQ(Get("/etc/docker/daemon.json"), "{}\n");
}

TEST_F(SetupTest, WhatTheUserHasChangedSinceStays) {
  Put("/etc/docker/daemon.json", "{\n  \"debug\": true\n}\n");
  RunWell("docker", Options());
  std::string text = Get("/etc/docker/daemon.json");
  text.replace(text.find("true"), 4, "false");
  Put("/etc/docker/daemon.json", text);
  SetupOptions options = Options();
  options.make_default = true;
  RunWell("docker", options);
  RunWell("docker", UndoOptions());
  EXPECT_EQ(Get("/etc/docker/daemon.json"), "{\n  \"debug\": false\n}\n");
}

TEST_F(SetupTest, WhatCannotBeReadIsNotTouched) {
  Put("/etc/docker/daemon.json", "{\n  \"a\": 1,\n}\n");
  Put("/etc/containerd/config.toml", "version = 2\n[plugins\n");
  const auto all = All();
  const auto docker = Run("docker", Options());
  ASSERT_FALSE(docker);
  EXPECT_THAT(docker.error().message(), HasSubstr("daemon.json:3:"));
  const auto containerd = Run("containerd", Options());
  ASSERT_FALSE(containerd);
  EXPECT_THAT(containerd.error().message(), HasSubstr("config.toml:2:"));
  EXPECT_EQ(Get("/etc/docker/daemon.json"), "{\n  \"a\": 1,\n}\n");
  EXPECT_EQ(All(), all);
}

TEST_F(SetupTest, SomebodyElsesDropInIsNotTouched) {
  Put("/etc/crio/crio.conf.d/50-kata.conf", "[crio]\n");
  const auto report = Run("cri-o", Options());
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), Code::kAlreadyExists);
  Put("/etc/crio/crio.conf.d/50-kata.conf",
      "[crio.runtime.runtimes.kata]\nruntime_path = \"/x\"\n");
  EXPECT_FALSE(Run("cri-o", Options()));
}

TEST_F(SetupTest, CrioGetsAShimOfTheTypeVm) {
  SetupOptions options = Options();
  options.make_default = true;
  RunWell("cri-o", options);
  EXPECT_EQ(Get("/etc/crio/crio.conf.d/50-kata.conf"),
            "# Written by kata-runtime setup, which also removes it (--undo).\n"
            "[crio.runtime]\n"
            "default_runtime = \"kata\"\n"
            "\n"
            "[crio.runtime.runtimes.kata]\n"
            "runtime_path = \"/usr/bin/containerd-shim-kata-v2\"\n"
            "runtime_type = \"vm\"\n"
            "runtime_root = \"/run/vc\"\n"
            "privileged_without_host_devices = true\n");
}

TEST_F(SetupTest, ARuntimeOfThatNameInAnotherFileOfCrioIsNamed) {
  Put("/etc/crio/crio.conf.d/10-x.conf", "[crio.runtime.runtimes.kata]\nruntime_path = \"/x\"\n");
  const auto report = Run("cri-o", Options());
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message(), HasSubstr("10-x.conf:2:"));
}

TEST_F(SetupTest, APluginThatIsSwitchedOffNeedsNoHandler) {
  Put("/etc/containerd/config.toml", "disabled_plugins = [\"cri\"]\n");
  const auto report = Run("containerd", Options());
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message(), HasSubstr("need no setup"));
}

TEST_F(SetupTest, WhatCannotBeReplacedIsLeftAlone) {
  Put("/etc/docker/daemon.json/x", "");
  EXPECT_FALSE(Run("docker", Options()));
  EXPECT_THAT(All(), testing::Not(Contains(HasSubstr("/var"))));
}

TEST_F(SetupTest, AKilledSetupLeavesARecordThatUndoUnderstands) {
  const std::string before = "{}\n";
  Put("/etc/docker/daemon.json", before);
  RunWell("docker", Options());
  Put("/etc/docker/daemon.json", before);  // as if it had been killed before it wrote the file
  RunWell("docker", UndoOptions());
  EXPECT_EQ(Get("/etc/docker/daemon.json"), before);
  EXPECT_THAT(All(), testing::Not(Contains(HasSubstr("/var"))));
}

TEST_F(SetupTest, WhatAKilledSetupHasLeftGoesWithTheUndo) {
  Put("/etc/docker/daemon.json", "{}\n");
  const auto all = All();
  RunWell("docker", Options());
  Put("/etc/docker/daemon.json.kata-setup", "half");
  Put("/var/lib/kata-containers/setup/docker.json.kata-setup", "half");
  RunWell("docker", UndoOptions());
  EXPECT_EQ(All(), all);
  Put("/var/lib/kata-containers/setup/docker.json.kata-setup", "half");
  RunWell("docker", UndoOptions());
  EXPECT_EQ(All(), all);
}

TEST_F(SetupTest, OneAtATime) {
  auto records = SetupRecords::Open(root_.path());
  ASSERT_TRUE(records);
  const auto report = Run("docker", Options());
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message(), HasSubstr("another kata-runtime setup is at work"));
}

TEST_F(SetupTest, TheReportIsForProgramsToo) {
  const auto report = Run("docker", Options());
  ASSERT_TRUE(report);
  const auto json = nlohmann::json::parse(RenderSetupJson(*report));
  EXPECT_EQ(json.at("ok"), true);
  EXPECT_EQ(json.at("file"), Path("/etc/docker/daemon.json"));
  EXPECT_THAT(json.at("diff").get<std::string>(), HasSubstr("+++ "));
  EXPECT_EQ(json.at("steps")[0].at("name"), "write");
  EXPECT_EQ(json.at("steps")[0].at("outcome"), "done");
}

}  // namespace
}  // namespace kata::cli::setup
