// SPDX-License-Identifier: Apache-2.0
#include "sys/sockets.h"

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

// An address that stays valid while `directory` is open.
struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;
  UniqueFd directory;
};

Result<UnixAddress> MakeUnixAddress(const std::string& path) {
  UnixAddress result;
  result.address.sun_family = AF_UNIX;
  std::string name = path;
  if (path.find('\0') != std::string::npos || path.empty()) {
    return Fail(Code::kInvalidArgument,
                fmt::format("socket path \"{}\" is empty or has a NUL", path));
  }
  if (path.size() > kMaxUnixPath) {
    const size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    result.directory = KATA_TRY(Open(directory, O_PATH | O_DIRECTORY));
    name = fmt::format("/proc/self/fd/{}/{}", result.directory.get(), path.substr(slash + 1));
    if (name.size() > kMaxUnixPath) return std::unexpected(CheckUnixPathLength(path).error());
  }
  std::memcpy(result.address.sun_path, name.data(), name.size());
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
  return result;
}

Result<UniqueFd> NewSocket(int family, int flags = 0) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd) return FailErrno("socket");
  return fd;
}

// Finishes a connect that a non-blocking socket has begun, and makes the socket blocking.
Result<void> FinishConnect(int fd, Deadline deadline) {
  KATA_TRY(WaitFor(fd, POLLOUT, deadline));
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return FailErrno("getsockopt");
  if (error != 0) return std::unexpected(Error::FromErrno("connect", {}, error));
  return {};
}

}  // namespace

Result<void> CheckUnixPathLength(std::string_view path) {
  if (path.size() <= kMaxUnixPath) return {};
  return Fail(Code::kInvalidArgument,
              fmt::format("socket path \"{}\" has {} bytes, the limit is {}: use a shorter "
                          "directory or id",
                          path.substr(0, 200), path.size(), kMaxUnixPath));
}

Result<UniqueFd> ListenUnix(const std::string& path, mode_t mode, int backlog) {
  UnixAddress address = KATA_TRY(MakeUnixAddress(path));
  UniqueFd fd = KATA_TRY(NewSocket(AF_UNIX));
  // The mode of the socket's inode becomes the file's, less the umask.
  ::fchmod(fd.get(), mode);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address.address), address.size) != 0) {
    if (errno == EADDRINUSE) errno = EEXIST;
    return FailErrno("bind", path);
  }
  if (::chmod(address.address.sun_path, mode) != 0 || ::listen(fd.get(), backlog) != 0) {
    const Error error = Error::FromErrno("listen", path);
    ::unlink(address.address.sun_path);
    return std::unexpected(error);
  }
  return fd;
}

Result<UniqueFd> ConnectUnix(const std::string& path, Deadline deadline) {
  UnixAddress address = KATA_TRY(MakeUnixAddress(path));
  UniqueFd fd = KATA_TRY(NewSocket(AF_UNIX));
  // A unix connect blocks only for a full backlog, and then obeys the send timeout.
  if (!deadline.never()) {
    const auto left = std::max(std::chrono::ceil<std::chrono::microseconds>(deadline.Left()),
                               std::chrono::microseconds(1000));
    const timeval timeout{.tv_sec = left.count() / 1000000, .tv_usec = left.count() % 1000000};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  }
  const int result = RetryOnEintr([&] {
    return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address.address), address.size);
  });
  if (result != 0) {
    if (errno == EAGAIN) errno = ETIMEDOUT;
    return FailErrno("connect", path);
  }
  const timeval none{};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
  return fd;
}

Result<UniqueFd> Accept(int listener) {
  UniqueFd fd(RetryOnEintr([&] { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); }));
  if (!fd) {
    Error error = Error::FromErrno("accept");
    if (error.error_number() == EAGAIN) error = std::move(error).WithCode(Code::kUnavailable);
    return std::unexpected(std::move(error));
  }
  return fd;
}

Result<SocketPair> MakeSocketPair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return FailErrno("socketpair");
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<PeerCredentials> GetPeerCredentials(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return FailErrno("getsockopt SO_PEERCRED");
  }
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<void> SendAll(int socket, std::string_view data, Deadline deadline) {
  while (!data.empty()) {
    const ssize_t n =
        RetryOnEintr([&] { return ::send(socket, data.data(), data.size(), MSG_NOSIGNAL); });
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      KATA_TRY(WaitFor(socket, POLLOUT, deadline));
    } else {
      return FailErrno("send");
    }
  }
  return {};
}

Result<void> SendWithFd(int socket, std::string_view data, int fd, Deadline deadline) {
  if (data.empty()) return Fail(Code::kInvalidArgument, "a descriptor travels with data only");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec part{.iov_base = const_cast<char*>(data.data()), .iov_len = data.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  for (;;) {
    const ssize_t n = RetryOnEintr([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); });
    if (n > 0) return SendAll(socket, data.substr(static_cast<size_t>(n)), deadline);
    if (errno != EAGAIN) return FailErrno("sendmsg");
    KATA_TRY(WaitFor(socket, POLLOUT, deadline));
  }
}

Result<DataWithFd> ReceiveWithFd(int socket, size_t limit) {
  DataWithFd result;
  result.data.resize(limit);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
  iovec part{.iov_base = result.data.data(), .iov_len = limit};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = RetryOnEintr([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (n < 0) return FailErrno("recvmsg");
  result.data.resize(static_cast<size_t>(n));
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
      UniqueFd received(fd);
      if (!result.fd) result.fd = std::move(received);
    }
  }
  return result;
}

Result<UniqueFd> ConnectVsock(uint32_t cid, uint32_t port, Deadline deadline) {
  const std::string subject = fmt::format("vsock://{}:{}", cid, port);
  UniqueFd fd = KATA_TRY_WITHIN(subject, NewSocket(AF_VSOCK, SOCK_NONBLOCK));
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno != EINPROGRESS) return FailErrno("connect", subject);
    KATA_TRY_WITHIN(subject, FinishConnect(fd.get(), deadline));
  }
  KATA_TRY(SetNonBlocking(fd.get(), false));
  return fd;
}

Result<UniqueFd> ListenVsock(uint32_t cid, uint32_t port, int backlog) {
  const std::string subject = fmt::format("vsock://{}:{}", cid, port);
  UniqueFd fd = KATA_TRY_WITHIN(subject, NewSocket(AF_VSOCK));
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("bind", subject);
  }
  if (::listen(fd.get(), backlog) != 0) return FailErrno("listen", subject);
  return fd;
}

}  // namespace kata::sys
