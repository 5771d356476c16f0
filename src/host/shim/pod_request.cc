// SPDX-License-Identifier: Apache-2.0
#include "host/shim/pod_request.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "host/plan/pod_files.h"
#include "oci/parse.h"
#include "proto/cri.pb.h"
#include "sys/files.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxResolver = 64 << 10;

// Both ways of writing it are in use.
bool IsPodConfig(std::string_view type_url) {
  return type_url.substr(type_url.rfind('/') + 1) == "runtime.v1.PodSandboxConfig";
}

template <class Map>
void Merge(const Map& from, std::map<std::string, std::string>* into) {
  for (const auto& [name, value] : from) (*into)[name] = value;
}

// As containerd makes the path of a pod's first container.
std::string CgroupsPath(const std::string& parent, const std::string& id) {
  if (parent.empty()) return "";
  const std::string last = parent.substr(parent.rfind('/') + 1);
  if (last.ends_with(".slice")) return fmt::format("{}:cri-containerd:{}", last, id);
  return fmt::format("{}/{}", parent, id);
}

Result<void> ReadSpec(const std::string& bundle, sandbox::PodRequest* pod) {
  if (bundle.empty()) return {};
  auto parsed = oci::LoadBundle(bundle);
  // containerd writes none where it has none.
  if (!parsed && parsed.error().code() == Code::kNotFound) return {};
  const oci::Spec spec = KATA_TRY(std::move(parsed)).value;
  pod->hostname = spec.hostname();
  pod->cgroups_path = spec.linux().cgroups_path();
  Merge(spec.annotations(), &pod->annotations);
  Merge(spec.linux().sysctl(), &pod->sysctls);
  return {};
}

Result<void> ReadConfig(const sandbox_api::CreateSandboxRequest& request,
                        sandbox::PodRequest* pod) {
  if (!IsPodConfig(request.options().type_url())) return {};
  cri::PodSandboxConfig config;
  if (!config.ParseFromString(request.options().value())) {
    return Fail(Code::kInvalidArgument, "options: not a PodSandboxConfig");
  }
  if (!config.hostname().empty()) pod->hostname = config.hostname();
  const std::string& parent = config.linux().cgroup_parent();
  if (!parent.empty()) pod->cgroups_path = CgroupsPath(parent, request.sandbox_id());
  Merge(config.annotations(), &pod->annotations);
  Merge(config.linux().sysctls(), &pod->sysctls);
  // A host without one has no names to resolve.
  const std::string resolver = sys::ReadFile("/etc/resolv.conf", kMaxResolver).value_or("");
  pod->files = KATA_TRY(sandbox::PlanPodFiles(config, resolver));
  pod->directory = request.bundle_path() + "/etc";
  return sys::MakeDirs(pod->directory);
}

}  // namespace

Result<sandbox::PodRequest> ReadPodRequest(const sandbox_api::CreateSandboxRequest& request) {
  if (request.rootfs_size() > 0) {
    return Fail(Code::kUnimplemented,
                "a root file system of the sandbox itself: a machine has its own");
  }
  sandbox::PodRequest pod;
  pod.network = request.netns_path();
  KATA_TRY(ReadSpec(request.bundle_path(), &pod));
  KATA_TRY(ReadConfig(request, &pod));
  Merge(request.annotations(), &pod.annotations);
  return pod;
}

}  // namespace kata::shim
