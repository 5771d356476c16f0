// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/docker_plan.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::setup {
namespace {

using testing::HasSubstr;

const KataPrograms kDockerPrograms{.runtime = "/usr/bin/kata-runtime",
                                   .shim = "/usr/bin/containerd-shim-kata-v2"};
const std::string kShimEntry = R"({"runtimeType":"io.containerd.kata.v2"})";

std::string PlannedText(const std::optional<std::string>& text, const DockerRuntime& runtime,
                        const std::optional<SetupRecord>& record = std::nullopt) {
  const auto planned = PlanDocker("/etc/docker/daemon.json", text, runtime, record);
  return planned ? *planned : "error: " + planned.error().message();
}

SetupRecord DockerRecord(const std::optional<std::string>& before, const std::string& written) {
  return {.path = "/etc/docker/daemon.json", .name = "kata", .before = before, .written = written};
}

TEST(DockerPlan, TakesTheShimWhereDockerKnowsShims) {
  EXPECT_EQ(DockerRuntimeEntry(28, kDockerPrograms, true), kShimEntry);
  EXPECT_EQ(DockerRuntimeEntry(23, kDockerPrograms, false),
            R"({"runtimeType":"/usr/bin/containerd-shim-kata-v2"})");
  EXPECT_EQ(DockerRuntimeEntry(20, kDockerPrograms, true), R"({"path":"/usr/bin/kata-runtime"})");
  EXPECT_EQ(DockerRuntimeEntry(0, kDockerPrograms, true), R"({"path":"/usr/bin/kata-runtime"})");
}

TEST(DockerPlan, MakesAFileWhereThereIsNone) {
  const std::string expected =
      "{\n"
      "  \"runtimes\": {\n"
      "    \"kata\": {\n"
      "      \"runtimeType\": \"io.containerd.kata.v2\"\n"
      "    }\n"
      "  },\n"
      "  \"default-runtime\": \"kata\"\n"
      "}\n";
  const DockerRuntime runtime{.name = "kata", .entry = kShimEntry, .make_default = true};
  EXPECT_EQ(PlannedText(std::nullopt, runtime), expected);
  EXPECT_EQ(PlannedText("", runtime), expected);
  EXPECT_EQ(PlannedText(expected, runtime), expected) << "a second time changes nothing";
}

TEST(DockerPlan, KeepsAllThatIsThere) {
  const std::string text =
      "{\n"
      "    \"log-driver\": \"journald\",\n"
      "    \"default-runtime\": \"crun\",\n"
      "    \"runtimes\": { \"crun\": { \"path\": \"/usr/bin/crun\" } },\n"
      "    \"dns\": [\"10.0.0.1\"]\n"
      "}\n";
  EXPECT_EQ(PlannedText(text, {.name = "kata", .entry = kShimEntry, .make_default = true}),
            "{\n"
            "    \"log-driver\": \"journald\",\n"
            "    \"default-runtime\": \"kata\",\n"
            "    \"runtimes\": { \"crun\": { \"path\": \"/usr/bin/crun\" }, \"kata\": "
            "{\"runtimeType\":\"io.containerd.kata.v2\"} },\n"
            "    \"dns\": [\"10.0.0.1\"]\n"
            "}\n");
}

TEST(DockerPlan, LeavesAnEntryWithOptionsOfTheUsers) {
  const std::string text =
      R"({"runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2", "options": {"a": 1}}}})";
  EXPECT_EQ(PlannedText(text, {.name = "kata", .entry = kShimEntry}), text);
}

TEST(DockerPlan, RefusesAnotherRuntimeOfThatName) {
  const std::string text = R"({"runtimes": {"kata": {"path": "/opt/kata/bin/kata-runtime"}}})";
  EXPECT_THAT(PlannedText(text, {.name = "kata", .entry = kShimEntry}),
              testing::AllOf(HasSubstr("error: "), HasSubstr("--name")));
}

TEST(DockerPlan, ReplacesItsOwnEntryAfterAnUpgradeOfDocker) {
  const std::string old_text = PlannedText(
      std::nullopt, {.name = "kata", .entry = DockerRuntimeEntry(20, kDockerPrograms, true)});
  EXPECT_EQ(PlannedText(old_text, {.name = "kata", .entry = kShimEntry},
                        DockerRecord(std::nullopt, old_text)),
            PlannedText(std::nullopt, {.name = "kata", .entry = kShimEntry}));
}

TEST(DockerPlan, NamesTheLineThatItCannotRead) {
  EXPECT_THAT(PlannedText("{\n \"a\": 1,\n}", {.name = "kata", .entry = kShimEntry}),
              HasSubstr("/etc/docker/daemon.json:3:"));
  EXPECT_THAT(PlannedText("[]", {.name = "kata", .entry = kShimEntry}),
              HasSubstr("not a JSON object"));
}

TEST(DockerUndo, TakesOutItsOwnOfAFileThatOthersHaveChanged) {
  const std::string before = "{\n  \"default-runtime\": \"crun\",\n  \"debug\": true\n}\n";
  const DockerRuntime runtime{.name = "kata", .entry = kShimEntry, .make_default = true};
  const std::string written = PlannedText(before, runtime);
  std::string changed = written;
  changed.replace(changed.find("true"), 4, "false");
  const auto rest = UnplanDocker(changed, DockerRecord(before, written));
  ASSERT_TRUE(rest) << rest.error().message();
  EXPECT_EQ(*rest, "{\n  \"default-runtime\": \"crun\",\n  \"debug\": false\n}\n");
}

TEST(DockerUndo, LeavesWhatOthersHaveMadeOfItsOwn) {
  const std::string written =
      PlannedText("{}", {.name = "kata", .entry = kShimEntry, .make_default = true});
  const std::string changed =
      R"({"runtimes": {"kata": {"path": "/mine"}}, "default-runtime": "mine"})";
  EXPECT_EQ(UnplanDocker(changed, DockerRecord("{}", written)).value(), changed);
}

TEST(DockerUndo, RemovesAFileThatHoldsNothingElse) {
  const std::string written = PlannedText(std::nullopt, {.name = "kata", .entry = kShimEntry});
  const std::string changed = R"({"runtimes":{"kata":{"runtimeType":"io.containerd.kata.v2"}}})";
  EXPECT_EQ(UnplanDocker(changed, DockerRecord(std::nullopt, written)).value(), std::nullopt);
}

TEST(DockerInterim, SaysWhatDockerdWouldKeepOtherwise) {
  EXPECT_EQ(InterimDocker(std::nullopt, false),
            "{\n  \"runtimes\": {},\n  \"default-runtime\": \"runc\"\n}\n");
  EXPECT_EQ(InterimDocker(R"({"default-runtime": "crun", "runtimes": {"crun": {}}})", false),
            std::nullopt);
  EXPECT_EQ(InterimDocker(R"({"debug": true})", true), R"({"debug": true, "runtimes": {}})");
}

TEST(DockerArguments, ADefaultThatIsAFlagCannotBeInTheFile) {
  const DockerRuntime runtime{.name = "kata", .entry = kShimEntry, .make_default = true};
  const auto refused = CheckDockerArguments({"dockerd", "--default-runtime=crun"}, runtime);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("--default-runtime crun"));
  EXPECT_TRUE(CheckDockerArguments({"dockerd", "--default-runtime", "crun"},
                                   {.name = "kata", .entry = kShimEntry}));
  EXPECT_FALSE(CheckDockerArguments({"dockerd", "--add-runtime", "kata=/k"}, runtime));
  EXPECT_TRUE(CheckDockerArguments({"dockerd", "--add-runtime", "kata2=/k"}, runtime));
}

TEST(DockerAddress, IsTheFirstThatIsASocket) {
  EXPECT_EQ(DockerAddress({"dockerd", "-H", "fd://"}, ""), "unix:///var/run/docker.sock");
  EXPECT_EQ(DockerAddress({"dockerd", "-H", "tcp://0.0.0.0", "--host=unix:///x"}, ""), "unix:///x");
  EXPECT_EQ(DockerAddress({"dockerd"}, R"({"hosts": ["tcp://1", "unix:///y"]})"), "unix:///y");
}

}  // namespace
}  // namespace kata::cli::setup
