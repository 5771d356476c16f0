// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace kata::monitor {
namespace {

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

class PlainStream : public Stream {
 public:
  explicit PlainStream(sys::UniqueFd socket) : socket_(std::move(socket)) {}

  Result<std::string> Read(size_t most, Deadline deadline) override {
    std::string data(most, '\0');
    while (true) {
      const ssize_t n = ::recv(socket_.get(), data.data(), data.size(), 0);
      if (n >= 0) {
        data.resize(static_cast<size_t>(n));
        return data;
      }
      if (!WouldBlock()) return FailErrno("recv");
      KATA_TRY(sys::WaitFor(socket_.get(), POLLIN, deadline));
    }
  }

  Result<void> WriteAll(std::string_view data, Deadline deadline) override {
    while (!data.empty()) {
      const ssize_t n = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        data.remove_prefix(static_cast<size_t>(n));
        continue;
      }
      if (!WouldBlock()) return FailErrno("send");
      KATA_TRY(sys::WaitFor(socket_.get(), POLLOUT, deadline));
    }
    return {};
  }

  void End() override { ::shutdown(socket_.get(), SHUT_WR); }

 private:
  const sys::UniqueFd socket_;
};

}  // namespace

std::unique_ptr<Stream> MakePlainStream(sys::UniqueFd socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

}  // namespace kata::monitor
