// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/agent_channel.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::hypervisor {
namespace {

// From linux/vhost.h, which is not C++.
constexpr unsigned long kSetGuestCid = _IOW(0xaf, 0x60, uint64_t);

constexpr uint64_t kFirstGuestCid = 3;
constexpr uint64_t kLastGuestCid = 0xfffffffe;
constexpr int kTries = 64;  // with a thousand VMs, one collision is as rare as one in four million

}  // namespace

Result<VsockChannel> AllocateVsock(const std::string& device) {
  sys::UniqueFd fd = KATA_TRY(sys::Open(device, O_RDWR));
  for (int i = 0; i < kTries; ++i) {
    uint32_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random) return FailErrno("getrandom");
    const uint64_t cid = kFirstGuestCid + random % (kLastGuestCid - kFirstGuestCid + 1);
    if (::ioctl(fd.get(), kSetGuestCid, &cid) == 0) {
      return VsockChannel{static_cast<uint32_t>(cid), std::move(fd)};
    }
    if (errno != EADDRINUSE) return FailErrno("VHOST_VSOCK_SET_GUEST_CID", device);
  }
  return Fail(Code::kResourceExhausted, "no free vsock context id found");
}

Result<AgentChannel> ChooseAgentChannel(std::string_view wanted, const Capabilities& vmm,
                                        const std::string& hybrid_path) {
  if (wanted == "vsock" || (wanted == "auto" && vmm.vsock)) {
    if (!vmm.vsock) return Fail(Code::kInvalidArgument, "this VMM has no vsock");
    auto vsock = AllocateVsock();
    if (vsock) return AgentChannel(*std::move(vsock));
    if (wanted == "vsock" || !vmm.virtio_serial) return std::unexpected(std::move(vsock).error());
    return AgentChannel(VirtioSerialChannel{});
  }
  if (wanted == "auto" && vmm.hybrid_vsock) return AgentChannel(HybridVsockChannel{hybrid_path});
  if (wanted != "auto" && wanted != "virtio-serial") {
    return Fail(
        Code::kInvalidArgument,
        fmt::format("agent channel \"{}\": auto, vsock or virtio-serial is possible", wanted));
  }
  if (!vmm.virtio_serial) return Fail(Code::kInvalidArgument, "this VMM has no virtio-serial");
  return AgentChannel(VirtioSerialChannel{});
}

}  // namespace kata::hypervisor
