// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/pod.h - a pod that has its machine without any container, as containerd's sandbox
// API makes them.
#pragma once

#include <map>
#include <string>

#include "host/config/load.h"
#include "sys/fd.h"

namespace kata::sandbox {

struct PodRequest {
  std::string hostname;                            // in the namespace that containers share
  std::string network;                             // where it is bound; empty: the host's
  std::string cgroups_path;                        // as in linux.cgroupsPath
  std::map<std::string, std::string> annotations;  // those that set the configuration are read
  std::map<std::string, std::string> sysctls;      // of what containers share
  // Contents, by their paths in containers: for all of them that have nothing there.
  std::map<std::string, std::string> files;
  std::string directory;  // that such files are written into; goes with the pod
  config::Loaded config;
};

// The network namespace at `path`, held as long as the pod needs it. None where no namespace is
// bound there, as after a reboot of the host: the pod then has a network with nothing in it, as
// containerd expects of a shim; that is logged.
// Errors  kNotFound  nothing is there
Result<sys::UniqueFd> HoldNetwork(const std::string& path);

}  // namespace kata::sandbox
