// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/facts.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::cli::doctor {
namespace {

class FrontEnds : public ::testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text, mode_t mode = 0644) {
    const std::string whole = root_.path() + path;
    ASSERT_TRUE(sys::MakeDirs(whole.substr(0, whole.rfind('/'))));
    ASSERT_TRUE(sys::WriteFile(whole, text, mode));
  }
  std::vector<FrontEnd> Found() { return FindFrontEnds(root_.path(), {"/usr/bin", "/usr/sbin"}); }

  sys::TemporaryDir root_{"front-ends"};
};

TEST_F(FrontEnds, AreFoundByTheirPrograms) {
  EXPECT_TRUE(Found().empty());
  Put("/usr/sbin/dockerd", "#!/bin/sh\n", 0755);
  Put("/usr/bin/podman", "#!/bin/sh\n", 0644);  // nobody can run it
  ASSERT_EQ(Found().size(), 1u);
  EXPECT_EQ(Found()[0].name, "docker");
  EXPECT_EQ(Found()[0].path, "/usr/sbin/dockerd");
  EXPECT_FALSE(Found()[0].configured);
  EXPECT_EQ(Found()[0].file, "/etc/docker/daemon.json");
}

TEST_F(FrontEnds, KnowUsWhenTheirConfigurationNamesUs) {
  Put("/usr/sbin/dockerd", "#!/bin/sh\n", 0755);
  Put("/etc/docker/daemon.json",
      R"({"runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2"}}})");
  EXPECT_TRUE(Found()[0].configured);
}

TEST_F(FrontEnds, KnowUsByADropInToo) {
  Put("/usr/bin/crio", "#!/bin/sh\n", 0755);
  Put("/etc/crio/crio.conf", "[crio]\n");
  Put("/etc/crio/crio.conf.d/50-kata.conf",
      "runtime_path = \"/usr/local/bin/containerd-shim-kata-v2\"\n");
  ASSERT_EQ(Found().size(), 1u);
  EXPECT_TRUE(Found()[0].configured);
  EXPECT_EQ(Found()[0].file, "/etc/crio/crio.conf.d/50-kata.conf");
}

TEST_F(FrontEnds, DoNotKnowUsByAComment) {
  Put("/usr/bin/containerd", "#!/bin/sh\n", 0755);
  Put("/etc/containerd/config.toml", "version = 2\n  # runtime_type = \"io.containerd.kata.v2\"\n");
  EXPECT_FALSE(Found()[0].configured);
}

TEST(Hypervisor, IsAFlagOfTheProcessor) {
  EXPECT_TRUE(ShowsHypervisor("processor : 0\nflags : fpu sse hypervisor lm\n"));
  EXPECT_TRUE(ShowsHypervisor("flags\t\t: fpu hypervisor"));
  EXPECT_FALSE(ShowsHypervisor("model name : hypervisor \nflags : fpu sse\n"));
  EXPECT_FALSE(ShowsHypervisor(""));
}

}  // namespace
}  // namespace kata::cli::doctor
