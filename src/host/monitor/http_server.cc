// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/http_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "host/monitor/stream.h"

namespace kata::monitor {
namespace {

constexpr std::string_view kEndOfHead = "\r\n\r\n";
constexpr std::chrono::milliseconds kLookAgain{200};
constexpr size_t kChunk = 4096;

// What has come up to the empty line.
Result<std::string> ReadHead(Stream& stream, Deadline deadline) {
  std::string head;
  while (true) {
    const std::string more = KATA_TRY(stream.Read(kChunk, deadline));
    if (more.empty()) return Fail(Code::kUnavailable, "the client has gone");
    const size_t before = head.size() < kEndOfHead.size() ? 0 : head.size() - kEndOfHead.size();
    head += more;
    const size_t end = head.find(kEndOfHead, before);
    if (end != std::string::npos) return head.substr(0, end);
    if (head.size() > kMostOfHead) return Fail(Code::kInvalidArgument, "the request is too long");
    if (deadline.Passed()) return Fail(Code::kDeadlineExceeded, "the request came too slowly");
  }
}

HttpResponse Refusal(const Error& error) {
  return {.status = error.code() == Code::kUnimplemented ? 405 : 400,
          .body = error.message() + "\n"};
}

bool CanRead(int fd, Deadline deadline) { return sys::WaitFor(fd, POLLIN, deadline).has_value(); }

}  // namespace

HttpServer::HttpServer(Options options, Handler handler)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      pool_(options_.most_connections) {}

Result<void> HttpServer::Run(int listener, int stop) {
  while (true) {
    AwaitRoom(stop);
    std::array<pollfd, 2> fds = {
        {{.fd = listener, .events = POLLIN}, {.fd = stop, .events = POLLIN}}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return FailErrno("poll");
    if (fds[1].revents != 0) break;
    sys::UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      // Out of descriptors or memory: those that are open will end.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        (void)CanRead(stop, Deadline::After(kLookAgain));
      }
      continue;
    }
    {
      const MutexLock lock(mutex_);
      ++open_;
    }
    const bool taken = pool_.Run([this, connection = std::move(connection)]() mutable {
      Serve(std::move(connection));
      const MutexLock lock(mutex_);
      --open_;
      left_.NotifyAll();
    });
    if (!taken) {
      const MutexLock lock(mutex_);
      --open_;
    }
  }
  const MutexLock lock(mutex_);
  (void)left_.WaitUntil(mutex_, Deadline::Never(),
                        [this]() KATA_REQUIRES(mutex_) { return open_ == 0; });
  return {};
}

void HttpServer::AwaitRoom(int stop) {
  while (!CanRead(stop, Deadline::After(std::chrono::milliseconds(0)))) {
    const MutexLock lock(mutex_);
    if (left_.WaitUntil(mutex_, Deadline::After(kLookAgain), [this]() KATA_REQUIRES(mutex_) {
          return open_ < options_.most_connections;
        })) {
      return;
    }
  }
}

void HttpServer::Serve(sys::UniqueFd connection) const {
  const auto answered = Answer(std::move(connection));
  if (!answered) log::Debug("a client was not served", {{"reason", answered.error().message()}});
}

Result<void> HttpServer::Answer(sys::UniqueFd connection) const {
  const Deadline to_ask = Deadline::After(options_.to_ask);
  std::unique_ptr<Stream> stream =
      options_.tls ? KATA_TRY(options_.tls->Accept(std::move(connection), to_ask))
                   : MakePlainStream(std::move(connection));
  const auto head = ReadHead(*stream, to_ask);
  if (!head && head.error().code() != Code::kInvalidArgument) return std::unexpected(head.error());
  const auto request = head ? ParseHead(*head) : std::unexpected(head.error());
  const HttpResponse response = request ? handler_(*request) : Refusal(request.error());
  const Deadline to_take = Deadline::After(options_.to_take);
  KATA_TRY(stream->WriteAll(FormatResponse(response, request && request->head_only), to_take));
  stream->End();
  // A connection that is closed while something unread lies in it loses what was sent.
  for (int i = 0; i < 4; ++i) {
    const auto rest = stream->Read(kChunk, to_take.Earlier(Deadline::After(kLookAgain)));
    if (!rest || rest->empty()) break;
  }
  return {};
}

}  // namespace kata::monitor
