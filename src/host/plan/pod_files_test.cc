// SPDX-License-Identifier: Apache-2.0
#include "host/plan/pod_files.h"

#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

TEST(PodFiles, AreMadeOfThePodsNameAndItsServers) {
  cri::PodSandboxConfig config;
  config.set_hostname("web-0");
  cri::DnsConfig& dns = *config.mutable_dns_config();
  dns.add_servers("10.0.0.10");
  dns.add_servers("10.0.0.11");
  dns.add_searches("a.local");
  dns.add_searches("local");
  dns.add_options("ndots:5");
  const auto files = PlanPodFiles(config, "nameserver 1.2.3.4\n").value();
  EXPECT_EQ(files.at("/etc/hostname"), "web-0\n");
  EXPECT_NE(files.at("/etc/hosts").find("localhost"), std::string::npos);
  EXPECT_EQ(files.at("/etc/resolv.conf"),
            "search a.local local\nnameserver 10.0.0.10\nnameserver 10.0.0.11\noptions ndots:5\n");
}

TEST(PodFiles, ThePodHasTheHostsServersWithoutOwn) {
  const auto files = PlanPodFiles({}, "nameserver 1.2.3.4\n").value();
  EXPECT_EQ(files.at("/etc/resolv.conf"), "nameserver 1.2.3.4\n");
  EXPECT_EQ(files.count("/etc/hostname"), 0u);
}

TEST(PodFiles, AWordIsNoLine) {
  cri::PodSandboxConfig config;
  config.mutable_dns_config()->add_servers("10.0.0.10\nnameserver 6.6.6.6");
  EXPECT_EQ(PlanPodFiles(config, "").error().code(), Code::kInvalidArgument);
}

TEST(PodFiles, AreMountedWhereNothingIs) {
  oci::Spec spec;
  spec.add_mounts()->set_destination("/etc/hosts");
  spec.mutable_root()->set_readonly(true);
  AddPodFiles({{"/etc/hosts", "/h"}, {"/etc/resolv.conf", "/r"}}, &spec);
  ASSERT_EQ(spec.mounts_size(), 2);
  EXPECT_EQ(spec.mounts(1).destination(), "/etc/resolv.conf");
  EXPECT_EQ(spec.mounts(1).source(), "/r");
  EXPECT_EQ(spec.mounts(1).options(2), "ro");
}

}  // namespace
}  // namespace kata::sandbox
