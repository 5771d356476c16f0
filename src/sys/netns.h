// SPDX-License-Identifier: Apache-2.0
//
// sys/netns.h - network namespaces as descriptors.
//
// Basis: network_namespaces(7), unshare(2), setns(2).
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// A new network namespace with nothing but a loopback device that is down. It lives as long as the
// descriptor or a process in it. The calling thread stays where it is.
// Errors  kPermissionDenied  CAP_SYS_ADMIN is missing
Result<UniqueFd> MakeNetworkNamespace();

// The namespace bound at `path`, such as /run/netns/cni-1 or /proc/<pid>/ns/net.
// Errors  kNotFound         nothing is there
//         kInvalidArgument  it is no network namespace
Result<UniqueFd> OpenNetworkNamespace(const std::string& path);

// Tells namespaces apart for as long as they live.
struct NamespaceId {
  dev_t device = 0;
  ino_t inode = 0;

  friend bool operator==(const NamespaceId&, const NamespaceId&) = default;
};
Result<NamespaceId> IdOfNamespace(int fd);

// Runs `work` in the namespace, on a thread made for it, and returns what it returned. Blocks.
// Errors  kPermissionDenied  CAP_SYS_ADMIN is missing over that namespace
template <class Work>
auto RunInNetns(int fd, Work work) -> decltype(work());

// Without the value.
Result<void> RunOnNetnsThread(int fd, const std::function<void()>& work);

template <class Work>
auto RunInNetns(int fd, Work work) -> decltype(work()) {
  decltype(work()) result = Fail(Code::kInternal, "network namespace: nothing was done");
  if (auto ran = RunOnNetnsThread(fd, [&] { result = work(); }); !ran) {
    return std::unexpected(std::move(ran).error());
  }
  return result;
}

}  // namespace kata::sys
