// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/tls.h - the server's side of TLS 1.2 and 1.3.
// Basis: OpenSSL 3, SSL_CTX_new(3), SSL_accept(3), SSL_get_error(3).
#pragma once

#include <memory>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "host/monitor/stream.h"
#include "sys/fd.h"

struct ssl_ctx_st;

namespace kata::monitor {

class TlsServer {
 public:
  // PEM files: the certificate with those of its chain behind it, and its key.
  // Errors  kInvalidArgument  they cannot be read, or do not belong together; the message says why
  static Result<TlsServer> Load(const std::string& certificate, const std::string& key);

  // Shakes hands with who is at the other end of `socket`, which does not wait.
  // Errors  kDeadlineExceeded, kUnavailable
  Result<std::unique_ptr<Stream>> Accept(sys::UniqueFd socket, Deadline deadline) const;

 private:
  explicit TlsServer(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}

  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace kata::monitor
