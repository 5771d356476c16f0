// SPDX-License-Identifier: Apache-2.0
//
// sys/sockets.h - unix and vsock stream sockets.
//
// A unix socket's address holds 107 bytes of path. Longer paths work all the same here: the
// directory is opened first and the socket is named through it, so only the last component has to
// fit. Everything returned is close-on-exec.
// Basis: unix(7), vsock(7).
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// The longest path that fits into sockaddr_un with its terminating NUL.
inline constexpr size_t kMaxUnixPath = 107;

// For programs that will bind or connect `path` themselves and cannot take the way round.
// Errors  kInvalidArgument  too long; the message names path, length and limit
Result<void> CheckUnixPathLength(std::string_view path);

// Binds a new socket at `path` and listens. The file appears with `mode` (less no umask) before
// anyone can connect. An existing file is an error: remove it first if it is yours.
// Errors  kAlreadyExists     something is at `path`
//         kInvalidArgument   the last component is longer than an address can carry
Result<UniqueFd> ListenUnix(const std::string& path, mode_t mode = 0600, int backlog = 64);

// Connects to the socket at `path`; one try, waits at most until `deadline` for a full backlog.
// Errors  kNotFound, kUnavailable (nobody listens), kDeadlineExceeded
Result<UniqueFd> ConnectUnix(const std::string& path, Deadline deadline);

// accept4(2). On a non-blocking listener without a caller: kUnavailable with EAGAIN.
Result<UniqueFd> Accept(int listener);

struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
Result<SocketPair> MakeSocketPair(int type = SOCK_STREAM);

// Who is at the other end of a unix socket, as the kernel recorded it at connect.
struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};
Result<PeerCredentials> GetPeerCredentials(int fd);

// Sends all of `data` on a stream socket, without SIGPIPE; waits for room until the deadline on a
// non-blocking socket.
// Errors  kUnavailable  the peer has closed;  kDeadlineExceeded
Result<void> SendAll(int socket, std::string_view data, Deadline deadline);

// The same with `fd` attached to the first byte.
Result<void> SendWithFd(int socket, std::string_view data, int fd, Deadline deadline);

// Receives up to `limit` bytes and at most one descriptor (more are closed). Empty data is end of
// file.
struct DataWithFd {
  std::string data;
  UniqueFd fd;
};
Result<DataWithFd> ReceiveWithFd(int socket, size_t limit);

inline constexpr uint32_t kVsockAnyCid = 0xffffffff;
inline constexpr uint32_t kVsockHostCid = 2;

// Errors  kUnavailable       nobody listens on that port (yet)
//         kDeadlineExceeded  no answer from that CID
//         kUnimplemented     this kernel has no vsock
Result<UniqueFd> ConnectVsock(uint32_t cid, uint32_t port, Deadline deadline);
Result<UniqueFd> ListenVsock(uint32_t cid, uint32_t port, int backlog = 64);

}  // namespace kata::sys
