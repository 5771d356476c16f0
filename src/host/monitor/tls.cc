// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/tls.h"

#include <poll.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace kata::monitor {
namespace {

using SslPtr = std::unique_ptr<SSL, decltype(&::SSL_free)>;

// Why the last call failed, and empties the thread's list.
std::string Reason() {
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown reason";
}

class TlsStream : public Stream {
 public:
  TlsStream(sys::UniqueFd socket, SslPtr ssl) : socket_(std::move(socket)), ssl_(std::move(ssl)) {}

  Result<void> Accept(Deadline deadline) {
    return Repeat("TLS handshake", deadline, [this] { return ::SSL_accept(ssl_.get()); });
  }

  Result<std::string> Read(size_t most, Deadline deadline) override {
    std::string data(most, '\0');
    size_t got = 0;
    ended_ = false;
    KATA_TRY(Repeat("TLS read", deadline,
                    [&] { return ::SSL_read_ex(ssl_.get(), data.data(), data.size(), &got); }));
    data.resize(ended_ ? 0 : got);
    return data;
  }

  Result<void> WriteAll(std::string_view data, Deadline deadline) override {
    while (!data.empty()) {
      size_t put = 0;
      KATA_TRY(Repeat("TLS write", deadline,
                      [&] { return ::SSL_write_ex(ssl_.get(), data.data(), data.size(), &put); }));
      data.remove_prefix(put);
    }
    return {};
  }

  void End() override { (void)::SSL_shutdown(ssl_.get()); }

 private:
  // Calls `step` until it has done it, waiting in between for what it waits for.
  template <class Step>
  Result<void> Repeat(const char* what, Deadline deadline, Step step) {
    while (true) {
      ::ERR_clear_error();
      const int result = step();
      if (result > 0) return {};
      switch (::SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ:
          KATA_TRY(sys::WaitFor(socket_.get(), POLLIN, deadline));
          break;
        case SSL_ERROR_WANT_WRITE:
          KATA_TRY(sys::WaitFor(socket_.get(), POLLOUT, deadline));
          break;
        case SSL_ERROR_ZERO_RETURN:
          ended_ = true;
          return {};
        default:
          return Fail(Code::kUnavailable, fmt::format("{}: {}", what, Reason()));
      }
      if (deadline.Passed())
        return Fail(Code::kDeadlineExceeded, fmt::format("{}: too slow", what));
    }
  }

  const sys::UniqueFd socket_;
  const SslPtr ssl_;
  bool ended_ = false;
};

}  // namespace

Result<TlsServer> TlsServer::Load(const std::string& certificate, const std::string& key) {
  std::shared_ptr<SSL_CTX> context(::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free);
  if (!context) return Fail(Code::kInternal, "TLS: " + Reason());
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_mode(context.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (::SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1) {
    return Fail(Code::kInvalidArgument,
                fmt::format("certificate \"{}\": {}", certificate, Reason()));
  }
  if (::SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      ::SSL_CTX_check_private_key(context.get()) != 1) {
    return Fail(Code::kInvalidArgument, fmt::format("key \"{}\": {}", key, Reason()));
  }
  return TlsServer(std::move(context));
}

Result<std::unique_ptr<Stream>> TlsServer::Accept(sys::UniqueFd socket, Deadline deadline) const {
  SslPtr ssl(::SSL_new(context_.get()), ::SSL_free);
  if (!ssl || ::SSL_set_fd(ssl.get(), socket.get()) != 1) {
    return Fail(Code::kInternal, "TLS: " + Reason());
  }
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(ssl));
  KATA_TRY(stream->Accept(deadline));
  return stream;
}

}  // namespace kata::monitor
