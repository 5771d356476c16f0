// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/http_server.h - answers requests, one a connection, each on a thread of its own.
//
// What a client can cost is bounded: its head's size and time, the time in which it takes its
// answer, and the connections that are open at a time; others wait in the listener's backlog.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>

#include "base/mutex.h"
#include "base/result.h"
#include "host/monitor/http_request.h"
#include "host/monitor/tls.h"
#include "sys/fd.h"
#include "sys/worker_pool.h"

namespace kata::monitor {

class HttpServer {
 public:
  struct Options {
    size_t most_connections = 32;
    std::chrono::milliseconds to_ask{5000};    // with the handshake
    std::chrono::milliseconds to_take{20000};  // the answer
    std::optional<TlsServer> tls;
  };
  // Called on the connections' threads; may block.
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  HttpServer(Options options, Handler handler);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Serves what connects to `listener`, which does not wait, until `stop` can be read. Then waits
  // for those that are served, which is at most what their times add up to and the handler's own.
  Result<void> Run(int listener, int stop);

 private:
  // Until there is room, or `stop` can be read.
  void AwaitRoom(int stop);
  void Serve(sys::UniqueFd connection) const;
  Result<void> Answer(sys::UniqueFd connection) const;

  const Options options_;
  const Handler handler_;
  Mutex mutex_;
  CondVar left_;  // open_ has become less
  size_t open_ KATA_GUARDED_BY(mutex_) = 0;
  sys::WorkerPool pool_;
};

}  // namespace kata::monitor
