// SPDX-License-Identifier: Apache-2.0
#include "sys/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <thread>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sys {

Result<UniqueFd> MakeNetworkNamespace() {
  Result<UniqueFd> made = UniqueFd();
  // A namespace belongs to a thread, so this is done by one that ends.
  std::thread([&made] {
    if (::unshare(CLONE_NEWNET) != 0) {
      made = FailErrno("make a network namespace");
    } else {
      made = Open("/proc/thread-self/ns/net", O_RDONLY);
    }
  }).join();
  return made;
}

Result<UniqueFd> OpenNetworkNamespace(const std::string& path) {
  UniqueFd fd = KATA_TRY(Open(path, O_RDONLY | O_NONBLOCK));
  // On a file that is no namespace the call fails, with whatever that file says to it.
  if (::ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\" is no network namespace", path));
  }
  return fd;
}

Result<NamespaceId> IdOfNamespace(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return FailErrno("fstat", "network namespace");
  return NamespaceId{.device = status.st_dev, .inode = status.st_ino};
}

Result<void> RunOnNetnsThread(int fd, const std::function<void()>& work) {
  Result<void> entered;
  std::thread([&] {
    if (::setns(fd, CLONE_NEWNET) != 0) {
      entered = FailErrno("enter the network namespace");
    } else {
      work();
    }
  }).join();
  return entered;
}

}  // namespace kata::sys
