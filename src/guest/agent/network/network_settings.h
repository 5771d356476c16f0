// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/network_settings.h - the sysctls of the containers' network that the host
// tells of.
//
// What a container's specification sets in linux.sysctl is never touched, and what follows from it
// neither. Names are paths below /proc/sys/net. Everything happens in the calling thread's network
// namespace.
// Basis: kernel Documentation/networking/ip-sysctl.rst.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/result.h"

namespace kata::guest {

// Whether a specification that sets `claimed` decides about `name`, too: net.ipv4.ip_forward, and
// forwarding and disable_ipv6 of "all", are set for every interface at once. Pure.
bool Decides(const std::string& claimed, const std::string& name);

class NetworkSettings {
 public:
  using Values = std::map<std::string, std::string>;

  // `root` for tests.
  explicit NetworkSettings(std::string root = "/proc/sys/net") : root_(std::move(root)) {}

  // A container sets these: names as in linux.sysctl ("net.ipv4.ip_forward"), others are ignored.
  void Claim(const std::string& sysctl);
  bool IsClaimed(const std::string& name) const;

  // Makes them what `wanted` says, which is all that the host wants: what it no longer wants gets
  // back what it was. Those of interfaces that are not there yet wait for Apply. What the kernel
  // refuses is logged; the network is there without it.
  // Errors  kInvalidArgument  not a name; nothing has changed
  Result<void> Update(Values wanted);
  // Those of an interface that has just come.
  void Apply(const std::string& link);
  // It has gone, and its settings with it.
  void Forget(const std::string& link);

 private:
  void Set(const std::string& name, const std::string& value);

  std::string root_;
  std::set<std::string> claimed_;
  Values wanted_;
  Values before_;  // of what was set
};

}  // namespace kata::guest
