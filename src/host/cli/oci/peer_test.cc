// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/peer.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/stand_in.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::cli::oci {
namespace {

TEST(NamespaceOwner, IsTheProcessOfThePath) {
  EXPECT_EQ(NamespaceOwner("/proc/123/ns/ipc"), 123);
  for (const char* other :
       {"", "/proc/self/ns/ipc", "/proc/12x/ns/ipc", "/proc/-1/ns/pid", "/proc/1/ns",
        "/proc/1/ns/a/b", "/run/netns/x", "/proc/1/task/1/ns/x", "/proc/99999999999999/ns/ipc"}) {
    EXPECT_EQ(NamespaceOwner(other), 0) << other;
  }
}

// This process is no stand-in, whatever a record of somebody else says.
TEST(FindPeer, TakesNoStrangerForAContainer) {
  char path[] = "/tmp/kata-peer-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  std::filesystem::create_directory(std::string(path) + "/c1");
  State state;
  state.id = state.sandbox = "c1";
  state.pid = ::getpid();
  ASSERT_TRUE(SaveState(path, state));
  ::kata::oci::Spec spec;
  auto& wanted = *spec.mutable_linux()->add_namespaces();
  wanted.set_type("ipc");
  wanted.set_path("/proc/" + std::to_string(::getpid()) + "/ns/ipc");
  const auto peer = FindPeer(path, spec);
  ASSERT_TRUE(peer) << peer.error().message();
  EXPECT_FALSE(peer->has_value());
  std::filesystem::remove_all(path);
}

TEST(WithJoinedMappings, TakesThoseOfTheContainerWhoseNamespaceIsJoined) {
  const sys::TemporaryDir root{"peer"};
  ASSERT_TRUE(sys::MakeDirs(root.path() + "/c1"));
  State state;
  state.id = state.sandbox = "c1";
  state.pid = ::getpid();
  ASSERT_TRUE(SaveState(root.path(), state));
  ASSERT_TRUE(
      sys::WriteFile(root.path() + "/c1/config.json",
                     R"({"linux": {"uidMappings": [{"size": 7}], "gidMappings": [{"size": 8}],
                                 "timeOffsets": {"boottime": {"secs": 9}}}})"));
  const auto joined = [&](const char* type, const std::string& more) {
    const auto text = WithJoinedMappings(
        root.path(), fmt::format(R"({{"linux": {{{} "namespaces": [{{"type": "{}",
                                     "path": "/proc/{}/ns/{}"}}]}}}})",
                                 more, type, ::getpid(), type));
    return nlohmann::json::parse(text.value())["linux"];
  };
  EXPECT_FALSE(joined("user", "").contains("uidMappings")) << "of no stand-in";
  ::prctl(PR_SET_NAME, kStandInProgram);
  EXPECT_EQ(joined("user", "")["uidMappings"][0]["size"], 7);
  EXPECT_EQ(joined("user", "")["gidMappings"][0]["size"], 8);
  EXPECT_EQ(joined("user", R"("uidMappings": [{"size": 1}],)")["uidMappings"][0]["size"], 1);
  EXPECT_FALSE(joined("user", "").contains("timeOffsets"));
  EXPECT_EQ(joined("time", "")["timeOffsets"]["boottime"]["secs"], 9);
  EXPECT_FALSE(joined("ipc", "").contains("uidMappings"));
  EXPECT_FALSE(WithJoinedMappings(root.path(), "/ns/user"));
  ::prctl(PR_SET_NAME, "cli_oci_test");
}

TEST(SandboxLives, NeedsAStandInOfTheSandbox) {
  char path[] = "/tmp/kata-peer-XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  std::filesystem::create_directory(std::string(path) + "/c1");
  State state;
  state.id = "c1";
  state.sandbox = "pod";
  state.pid = ::getpid();
  ASSERT_TRUE(SaveState(path, state));
  EXPECT_FALSE(SandboxLives(path, "pod"));
  std::filesystem::remove_all(path);
}

TEST(AsMember, AddsToTheAnnotations) {
  const auto text = AsMember(R"({"ociVersion":"1.0.2","annotations":{"a":"b"}})", "pod1");
  ASSERT_TRUE(text);
  const auto config = nlohmann::json::parse(*text);
  EXPECT_EQ(config["ociVersion"], "1.0.2");
  EXPECT_EQ(config["annotations"]["a"], "b");
  EXPECT_EQ(config["annotations"]["io.kubernetes.cri.container-type"], "container");
  EXPECT_EQ(config["annotations"]["io.kubernetes.cri.sandbox-id"], "pod1");
  EXPECT_FALSE(AsMember("nonsense", "pod1"));
  const auto alone = AsSandbox(*text, "c1");
  ASSERT_TRUE(alone);
  EXPECT_EQ(nlohmann::json::parse(*alone)["annotations"]["io.kubernetes.cri.container-type"],
            "sandbox");
}

}  // namespace
}  // namespace kata::cli::oci
