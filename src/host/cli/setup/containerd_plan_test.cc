// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/containerd_plan.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::cli::setup {
namespace {

using testing::HasSubstr;

const ContainerdRuntime kPlain{.name = "kata"};
const ContainerdRuntime kByDefault{.name = "kata", .make_default = true};

const std::string kMain =
    "version = 2\n"
    "[plugins]\n"
    "  [plugins.\"io.containerd.grpc.v1.cri\"]\n"
    "    sandbox_image = \"my/pause:1\"\n"
    "    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n"
    "      SystemdCgroup = true\n";
const std::string kHandler =
    "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\n"
    "runtime_type = \"io.containerd.kata.v2\"\n"
    "privileged_without_host_devices = true\n"
    "pod_annotations = [\"io.katacontainers.*\"]\n";

std::string ContainerdText(const std::string& text, const ContainerdRuntime& runtime,
                           const std::optional<SetupRecord>& record = std::nullopt) {
  const auto planned = PlanContainerd("/c.toml", text, runtime, record);
  return planned ? *planned : "error: " + planned.error().message();
}

SetupRecord ContainerdRecord(const std::string& before, const std::string& written) {
  return {.path = "/c.toml", .name = "kata", .before = before, .written = written};
}

TEST(ContainerdPlan, AddsABlockAtTheEnd) {
  const std::string expected =
      kMain + "\n# begin: kata-runtime setup\n" + kHandler + "# end: kata-runtime setup\n";
  EXPECT_EQ(ContainerdText(kMain, kPlain), expected);
  EXPECT_EQ(ContainerdText(expected, kPlain), expected) << "a second time changes nothing";
}

TEST(ContainerdPlan, AddsTheDefaultToATableThatIsOnlyImplied) {
  EXPECT_EQ(ContainerdText(kMain, kByDefault),
            kMain +
                "\n# begin: kata-runtime setup\n"
                "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
                "default_runtime_name = \"kata\"\n\n" +
                kHandler + "# end: kata-runtime setup\n");
}

TEST(ContainerdPlan, ChangesTheLineOfADefaultThatIsThere) {
  const std::string text =
      "version = 2\n"
      "[plugins.'io.containerd.grpc.v1.cri'.containerd]\n"
      "  default_runtime_name = 'runc'  # theirs\n"
      "  snapshotter = \"overlayfs\"\n";
  const std::string planned = ContainerdText(text, kByDefault);
  EXPECT_EQ(planned,
            "version = 2\n"
            "[plugins.'io.containerd.grpc.v1.cri'.containerd]\n"
            "  default_runtime_name = \"kata\"  # kata-runtime setup\n"
            "  snapshotter = \"overlayfs\"\n"
            "\n# begin: kata-runtime setup\n" +
                kHandler + "# end: kata-runtime setup\n");
  EXPECT_EQ(ContainerdText(planned, kByDefault, ContainerdRecord(text, planned)), planned);
  EXPECT_EQ(UnplanContainerd(planned, ContainerdRecord(text, planned)), text);
}

TEST(ContainerdPlan, AddsADefaultBelowAHeaderThatIsThere) {
  const std::string text =
      "version = 2\n"
      "  [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
      "    snapshotter = \"overlayfs\"\n";
  const std::string planned = ContainerdText(text, kByDefault);
  EXPECT_EQ(planned,
            "version = 2\n"
            "  [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
            "  default_runtime_name = \"kata\"  # kata-runtime setup\n"
            "    snapshotter = \"overlayfs\"\n"
            "\n# begin: kata-runtime setup\n" +
                kHandler + "# end: kata-runtime setup\n");
  EXPECT_EQ(UnplanContainerd(planned, ContainerdRecord(text, planned)), text);
}

TEST(ContainerdPlan, UsesTheNamesOfVersion3) {
  EXPECT_THAT(ContainerdText("version = 3\n", kByDefault),
              testing::AllOf(HasSubstr("[plugins.\"io.containerd.cri.v1.runtime\".containerd]\n"),
                             HasSubstr("runtime\".containerd.runtimes.kata]\n"),
                             testing::Not(HasSubstr("grpc"))));
}

TEST(ContainerdPlan, NamesTheShimThatContainerdWouldNotFind) {
  EXPECT_THAT(ContainerdText("version = 3\n", {.name = "kata", .shim = "/opt/k/shim"}),
              HasSubstr("runtime_path = \"/opt/k/shim\"\n"));
}

TEST(ContainerdPlan, RefusesAFormThatItCannotAddTo) {
  // The table is written on one line, so nothing can be added to it elsewhere.
  const std::string text =
      "version = 2\n"
      "[plugins.\"io.containerd.grpc.v1.cri\"]\n"
      "containerd = { default_runtime_name = \"runc\", snapshotter = \"overlayfs\" }\n";
  EXPECT_THAT(ContainerdText(text, kPlain),
              testing::AllOf(HasSubstr("error: "), HasSubstr("by hand"), HasSubstr(kHandler)));
  EXPECT_THAT(ContainerdText(text, kByDefault), HasSubstr("by hand"));
}

TEST(ContainerdPlan, RefusesWhatItCannotRead) {
  EXPECT_THAT(ContainerdText("version = 2\n[plugins\n", kPlain), HasSubstr("/c.toml:2:"));
  EXPECT_THAT(ContainerdText("root = \"/x\"\n", kPlain), HasSubstr("version 1"));
}

TEST(ContainerdPlan, LeavesAHandlerOfTheUsersAndRefusesAnotherType) {
  const std::string theirs =
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.kata]\n"
      "runtime_type = \"io.containerd.kata.v2\"\n";
  EXPECT_EQ(ContainerdText(theirs, kPlain), theirs);
  EXPECT_THAT(ContainerdText("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd."
                             "runtimes.kata]\nruntime_type = \"io.containerd.runc.v2\"\n",
                             kPlain),
              HasSubstr("--name"));
}

TEST(ContainerdUndo, LeavesWhatOthersHaveAddedSince) {
  const std::string written = ContainerdText(kMain, kByDefault);
  EXPECT_EQ(
      UnplanContainerd(written + "[debug]\nlevel = \"debug\"\n", ContainerdRecord(kMain, written)),
      kMain + "\n[debug]\nlevel = \"debug\"\n");
  EXPECT_EQ(UnplanContainerd(written, ContainerdRecord(kMain, written)), kMain);
}

TEST(ContainerdFacts, FindTheDirectoryOfDropIns) {
  const auto facts =
      ReadContainerd("/c",
                     "version = 3\nimports = [\"/etc/a.toml\", \"/etc/containerd/conf.d/*.toml\"]\n"
                     "disabled_plugins = [\"cri\"]\n");
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->version, 3);
  EXPECT_TRUE(facts->cri_is_disabled);
  EXPECT_EQ(DropInDirOf(facts->imports), "/etc/containerd/conf.d");
  EXPECT_EQ(DropInDirOf({"conf.d/*.toml", "/etc/*/x/*.toml"}), "");
}

TEST(ContainerdDumps, ShowWhatElseWouldChange) {
  const std::string before =
      "imports = []\n[plugins.\"io.containerd.grpc.v1.cri\"]\n"
      "sandbox_image = \"my/pause:1\"\n";
  const std::string after = before + kHandler;
  EXPECT_TRUE(CompareContainerdDumps(before, after, kPlain));
  const auto lost = CompareContainerdDumps(before, kHandler, kPlain);
  ASSERT_FALSE(lost);
  EXPECT_THAT(lost.error().message(), HasSubstr("sandbox_image"));
  const auto unseen = CompareContainerdDumps(before, before, kPlain);
  ASSERT_FALSE(unseen);
  EXPECT_THAT(unseen.error().message(), HasSubstr("would not see the runtime"));
  EXPECT_FALSE(CompareContainerdDumps(before, after, kByDefault));
}

TEST(ContainerdDropIn, HasTheVersionOfTheMainFile) {
  EXPECT_THAT(ContainerdDropIn(2, kByDefault),
              HasSubstr("version = 2\n\n[plugins.\"io.containerd.grpc"));
  EXPECT_THAT(ContainerdDropIn(3, kPlain),
              HasSubstr("version = 3\n\n[plugins.\"io.containerd.cri.v1"));
}

}  // namespace
}  // namespace kata::cli::setup
