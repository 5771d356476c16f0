// SPDX-License-Identifier: Apache-2.0
#include "oci/features.h"

#include <nlohmann/json.hpp>

#include "sys/mount_options.h"

namespace kata::oci {

std::string FormatFeatures(const std::map<std::string, std::string>& annotations, int indent) {
  // Says "no" where the guest could do it but the runtime does not carry it through: containerd
  // acts on what is promised here.
  nlohmann::ordered_json features = {
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", "1.3.0"},
      {"hooks",
       {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", sys::MountOptionWords()},
      {"linux",
       {{"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}},
        {"cgroup", {{"v1", true}, {"v2", true}, {"systemd", false}, {"systemdUser", false}}},
        {"seccomp", {{"enabled", true}}},
        {"apparmor", {{"enabled", false}}},
        {"selinux", {{"enabled", false}}},
        {"intelRdt", {{"enabled", false}}},
        {"mountExtensions", {{"idmap", {{"enabled", true}}}}}}}};
  if (!annotations.empty()) features["annotations"] = annotations;
  return features.dump(indent);
}

}  // namespace kata::oci
