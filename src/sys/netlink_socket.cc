// SPDX-License-Identifier: Apache-2.0
#include "sys/netlink_socket.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace kata::sys {
namespace {

constexpr size_t kBufferSize = 64 << 10;
constexpr int kDumpTries = 5;
constexpr timeval kPatience{.tv_sec = 10, .tv_usec = 0};

Result<UniqueFd> OpenSocket(int type, uint32_t groups) {
  UniqueFd fd(::socket(AF_NETLINK, type | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return FailErrno("socket", "netlink");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("bind", "netlink");
  }
  return fd;
}

// NLMSG_ERROR, which also is how the kernel says that all went well.
Result<void> ReadError(const NetlinkMessage& message) {
  const auto header = FamilyHeader<nlmsgerr>(message.body);
  if (header.error == 0) return {};
  std::string text;
  if ((message.flags & NLM_F_ACK_TLVS) != 0) {
    // The request comes back first, unless it was left out.
    size_t skip = sizeof(nlmsgerr);
    if ((message.flags & NLM_F_CAPPED) == 0) skip += header.msg.nlmsg_len - sizeof(nlmsghdr);
    skip = (skip + 3) & ~size_t{3};
    if (skip < message.body.size()) {
      text = Attributes(message.body.substr(skip)).Text(NLMSGERR_ATTR_MSG);
    }
  }
  return std::unexpected(
      Error::FromErrno("netlink", text.empty() ? text : fmt::format("({})", text), -header.error));
}

}  // namespace

Result<NetlinkSocket> NetlinkSocket::Open() {
  UniqueFd fd = KATA_TRY(OpenSocket(SOCK_RAW, 0));
  const int on = 1;
  // Without these, errors have no words; nothing else depends on them.
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience) != 0) {
    return FailErrno("setsockopt", "netlink");
  }
  return NetlinkSocket(std::move(fd));
}

Result<void> NetlinkSocket::Transact(NetlinkRequest& request, const Each& each, bool* interrupted) {
  const uint32_t sequence = ++sequence_;
  const std::string& bytes = request.Finish(sequence);
  if (RetryOnEintr([&] { return ::send(fd_.get(), bytes.data(), bytes.size(), 0); }) < 0) {
    return FailErrno("send", "netlink");
  }
  std::string buffer(kBufferSize, '\0');
  for (;;) {
    const ssize_t size =
        RetryOnEintr([&] { return ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC); });
    if (size < 0) return FailErrno("recv", "netlink");
    if (static_cast<size_t>(size) > buffer.size()) {
      return Fail(Code::kDataLoss, "netlink: an answer of more than 64 KiB");
    }
    std::string_view rest(buffer.data(), static_cast<size_t>(size));
    while (const auto message = KATA_TRY(TakeMessage(&rest))) {
      // An answer to a call before, which was given up.
      if (message->sequence != sequence) continue;
      if ((message->flags & NLM_F_DUMP_INTR) != 0) *interrupted = true;
      if (message->type == NLMSG_DONE) return {};
      if (message->type == NLMSG_ERROR) return ReadError(*message);
      if (each) each(*message);
    }
  }
}

Result<void> NetlinkSocket::Change(NetlinkRequest request) {
  bool interrupted = false;
  return Transact(request, {}, &interrupted);
}

Result<void> NetlinkSocket::Query(NetlinkRequest request, const Each& each) {
  std::vector<std::pair<NetlinkMessage, std::string>> messages;
  for (int attempt = 0; attempt < kDumpTries; ++attempt) {
    messages.clear();
    bool interrupted = false;
    KATA_TRY(Transact(
        request,
        [&messages](const NetlinkMessage& message) {
          messages.emplace_back(message, std::string(message.body));
        },
        &interrupted));
    if (interrupted) continue;
    for (auto& [message, body] : messages) {
      message.body = body;
      each(message);
    }
    return {};
  }
  return Fail(Code::kAborted, "netlink: the table changes faster than it can be read");
}

Result<UniqueFd> OpenNetlinkEvents(uint32_t groups) {
  return OpenSocket(SOCK_RAW | SOCK_NONBLOCK, groups);
}

bool DrainNetlinkEvents(int fd) {
  bool any = false;
  char byte = 0;
  for (;;) {
    // A datagram goes whole, however little of it is taken.
    const ssize_t size = RetryOnEintr([&] { return ::recv(fd, &byte, 1, MSG_DONTWAIT); });
    if (size < 0 && errno != ENOBUFS) return any;
    any = true;
  }
}

}  // namespace kata::sys
