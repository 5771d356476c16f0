// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/peer.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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
