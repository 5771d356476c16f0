// SPDX-License-Identifier: Apache-2.0
#include "sys/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

constexpr const char* kTunDevice = "/dev/net/tun";
constexpr uint32_t kMaxQueues = 256;  // of the kernel

Result<UniqueFd> OpenTunDevice() {
  auto fd = Open(kTunDevice, O_RDWR);
  if (!fd && fd.error().code() == Code::kNotFound) {
    return Fail(Code::kNotFound,
                fmt::format("{}: no such device, so no network can be connected; load the module "
                            "tun (modprobe tun)",
                            kTunDevice));
  }
  if (!fd && fd.error().code() == Code::kPermissionDenied) {
    return Fail(
        Code::kPermissionDenied,
        fmt::format("{}: not permitted; allow the runtime's control group the device 10:200",
                    kTunDevice));
  }
  return fd;
}

Result<void> BindQueue(int fd, const std::string& name, short flags) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) {
    return Fail(Code::kInvalidArgument, fmt::format("\"{}\": no name of an interface", name));
  }
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = flags;
  if (::ioctl(fd, TUNSETIFF, &request) == 0) return {};
  if (errno == EBUSY && (flags & IFF_TUN_EXCL) != 0) {
    return Fail(Code::kAlreadyExists,
                fmt::format("tap \"{}\": an interface of this name exists", name));
  }
  if (errno == EPERM) {
    return Fail(Code::kPermissionDenied,
                fmt::format("tap \"{}\": not permitted; the runtime needs CAP_NET_ADMIN over the "
                            "network namespace",
                            name));
  }
  if (errno == EBUSY) {
    return Fail(Code::kUnavailable, fmt::format("tap \"{}\": another program uses it", name));
  }
  return FailErrno("TUNSETIFF", name);
}

Result<std::vector<UniqueFd>> OpenQueues(const std::string& name, uint32_t queues, int first_flags,
                                         bool multi_queue) {
  if (queues < 1 || queues > kMaxQueues) {
    return Fail(Code::kInvalidArgument, fmt::format("tap \"{}\": {} queues", name, queues));
  }
  int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (multi_queue) flags |= IFF_MULTI_QUEUE;
  std::vector<UniqueFd> fds;
  for (uint32_t queue = 0; queue < queues; ++queue) {
    UniqueFd fd = KATA_TRY(OpenTunDevice());
    KATA_TRY(BindQueue(fd.get(), name, static_cast<short>(flags | (queue == 0 ? first_flags : 0))));
    KATA_TRY(SetNonBlocking(fd.get()));
    fds.push_back(std::move(fd));
  }
  return fds;
}

// "243:1" of a device's file in sysfs.
Result<dev_t> ReadDeviceNumber(const std::string& path) {
  const std::string text = KATA_TRY(ReadFile(path, 64));
  unsigned major_number = 0;
  unsigned minor_number = 0;
  const char* end = text.data() + text.size();
  const auto [colon, error] = std::from_chars(text.data(), end, major_number);
  if (error != std::errc() || colon == end || *colon != ':' ||
      std::from_chars(colon + 1, end, minor_number).ec != std::errc()) {
    return Fail(Code::kDataLoss, fmt::format("\"{}\": not a device number", path));
  }
  return makedev(major_number, minor_number);
}

Result<void> Mount(const char* type, const char* target) {
  if (::mount(type, target, type, 0, nullptr) != 0) return FailErrno("mount", target);
  return {};
}

}  // namespace

Result<std::vector<UniqueFd>> MakeTap(const std::string& name, uint32_t queues) {
  return OpenQueues(name, queues, IFF_TUN_EXCL, queues > 1);
}

Result<void> KeepTap(int fd, bool on) {
  if (::ioctl(fd, TUNSETPERSIST, on ? 1UL : 0UL) != 0) return FailErrno("TUNSETPERSIST");
  return {};
}

Result<std::vector<UniqueFd>> OpenTap(const std::string& name, uint32_t queues, bool multi_queue) {
  return OpenQueues(name, multi_queue ? queues : 1, 0, multi_queue);
}

Result<std::vector<UniqueFd>> OpenMacvtap(const std::string& name, uint32_t queues) {
  // sysfs shows the links of the namespace in which it was mounted, and device files are allowed on
  // a file system that says so.
  if (::unshare(CLONE_NEWNS) != 0) return FailErrno("unshare", "mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return FailErrno("mount", "private /");
  }
  KATA_TRY(Mount("sysfs", "/sys"));
  KATA_TRY(Mount("tmpfs", "/mnt"));
  const std::string index = KATA_TRY(ReadFile(fmt::format("/sys/class/net/{}/ifindex", name), 64));
  const std::string number = index.substr(0, index.find('\n'));
  const dev_t device =
      KATA_TRY(ReadDeviceNumber(fmt::format("/sys/class/net/{}/macvtap/tap{}/dev", name, number)));
  constexpr const char* kNode = "/mnt/tap";
  if (::mknod(kNode, S_IFCHR | 0600, device) != 0) return FailErrno("mknod", kNode);
  std::vector<UniqueFd> fds;
  for (uint32_t queue = 0; queue < queues; ++queue) {
    UniqueFd fd = KATA_TRY(Open(kNode, O_RDWR | O_NONBLOCK));
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (queues > 1) request.ifr_flags |= IFF_MULTI_QUEUE;
    if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return FailErrno("TUNSETIFF", name);
    fds.push_back(std::move(fd));
  }
  return fds;
}

}  // namespace kata::sys
