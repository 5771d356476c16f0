// SPDX-License-Identifier: Apache-2.0
#include "host/shim/pod_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/cri.pb.h"
#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class PodRequestTest : public testing::Test {
 protected:
  PodRequestTest() {
    request_.set_sandbox_id("web");
    request_.set_bundle_path(directory_.path());
  }
  void SetConfig(const cri::PodSandboxConfig& config, const char* type = nullptr) {
    request_.mutable_options()->set_type_url(type != nullptr ? type
                                                             : "runtime.v1.PodSandboxConfig");
    request_.mutable_options()->set_value(config.SerializeAsString());
  }
  void WriteSpec(const char* text) {
    ASSERT_TRUE(sys::WriteFile(directory_.path() + "/config.json", text));
  }

  const sys::TemporaryDir directory_{"kata-pod-request"};
  sandbox_api::CreateSandboxRequest request_;
};

TEST_F(PodRequestTest, NeedsNoSpecification) {
  request_.set_netns_path("/run/netns/x");
  const auto pod = ReadPodRequest(request_);
  ASSERT_TRUE(pod) << pod.error().message();
  EXPECT_EQ(pod->network, "/run/netns/x");
  EXPECT_EQ(pod->hostname, "");
}

TEST_F(PodRequestTest, ReadsASpecificationThatIsThere) {
  WriteSpec(R"({"ociVersion": "1.0.2", "hostname": "h", "annotations": {"a": "spec", "b": "spec"},
    "linux": {"cgroupsPath": "/p/web", "sysctl": {"net.ipv4.ip_forward": "1"}}})");
  (*request_.mutable_annotations())["a"] = "call";
  const auto pod = ReadPodRequest(request_);
  ASSERT_TRUE(pod) << pod.error().message();
  EXPECT_EQ(pod->hostname, "h");
  EXPECT_EQ(pod->cgroups_path, "/p/web");
  EXPECT_THAT(pod->annotations, ElementsAre(Pair("a", "call"), Pair("b", "spec")));
  EXPECT_THAT(pod->sysctls, ElementsAre(Pair("net.ipv4.ip_forward", "1")));
}

TEST_F(PodRequestTest, ReadsWhatCriSays) {
  cri::PodSandboxConfig config;
  config.set_hostname("web-0");
  (*config.mutable_annotations())["io.katacontainers.config.hypervisor.default_vcpus"] = "2";
  config.mutable_linux()->set_cgroup_parent("/kubepods/burstable/pod1");
  (*config.mutable_linux()->mutable_sysctls())["kernel.shmmax"] = "1000";
  for (const char* type :
       {"runtime.v1.PodSandboxConfig", "type.googleapis.com/runtime.v1.PodSandboxConfig"}) {
    SetConfig(config, type);
    const auto pod = ReadPodRequest(request_);
    ASSERT_TRUE(pod) << pod.error().message();
    EXPECT_EQ(pod->hostname, "web-0");
    EXPECT_EQ(pod->cgroups_path, "/kubepods/burstable/pod1/web");
    EXPECT_EQ(pod->annotations.size(), 1u);
    EXPECT_EQ(pod->sysctls.at("kernel.shmmax"), "1000");
    EXPECT_EQ(pod->files.at("/etc/hostname"), "web-0\n");
    EXPECT_TRUE(sys::Exists(pod->directory));
  }
  config.mutable_linux()->set_cgroup_parent("/kubepods.slice/kubepods-pod1.slice");
  SetConfig(config);
  EXPECT_EQ(ReadPodRequest(request_)->cgroups_path, "kubepods-pod1.slice:cri-containerd:web");
}

TEST_F(PodRequestTest, OtherOptionsAreNoneOfOurs) {
  SetConfig({}, "example.v1.Something");
  EXPECT_TRUE(ReadPodRequest(request_));
}

TEST_F(PodRequestTest, RefusesWhatItCannotRead) {
  SetConfig({});
  request_.mutable_options()->set_value("\xff\xff");
  EXPECT_EQ(ReadPodRequest(request_).error().code(), Code::kInvalidArgument);
  request_.clear_options();
  WriteSpec("{");
  EXPECT_EQ(ReadPodRequest(request_).error().code(), Code::kInvalidArgument);
}

TEST_F(PodRequestTest, RefusesARootOfThePodItself) {
  request_.add_rootfs();
  EXPECT_EQ(ReadPodRequest(request_).error().code(), Code::kUnimplemented);
}

}  // namespace
}  // namespace kata::shim
