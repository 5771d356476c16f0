// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/ask_shims.h"

#include <chrono>
#include <memory>
#include <utility>

#include "sys/event_loop.h"
#include "sys/sockets.h"
#include "ttrpc/client.h"

namespace kata::monitor {
namespace {

constexpr const char* kControlService = "kata.cpp.v1.Sandbox";
// A listener that has room takes a connection at once, also one whose process hangs.
constexpr std::chrono::milliseconds kConnectTime{1};

}  // namespace

std::vector<Result<metrics::Metrics>> AskShims(const std::vector<Question>& questions,
                                               Deadline deadline) {
  std::vector<Result<metrics::Metrics>> answers(questions.size(),
                                                Fail(Code::kUnavailable, "not asked"));
  const auto loop = sys::EventLoop::Create();
  if (!loop) return answers;
  size_t open = 0;
  // After the loop, which they use.
  std::vector<std::unique_ptr<ttrpc::Client>> clients;
  for (size_t i = 0; i < questions.size(); ++i) {
    auto socket = sys::ConnectUnix(questions[i].socket, Deadline::After(kConnectTime));
    auto client = socket ? ttrpc::Client::Create(**loop, *std::move(socket))
                         : std::unexpected(socket.error());
    if (!client) {
      answers[i] = std::unexpected(client.error());
      continue;
    }
    ++open;
    (*client)->CallAsync<metrics::Metrics>(
        kControlService, "Metrics", metrics::MetricsRequest(), deadline,
        [&answers, &open, &loop, i](Result<metrics::Metrics> answer) {
          answers[i] = std::move(answer);
          if (--open == 0) (*loop)->Stop();
        });
    clients.push_back(*std::move(client));
  }
  if (open > 0) {
    if (const auto ran = (*loop)->Run(); !ran) {
      for (auto& answer : answers) answer = std::unexpected(ran.error());
    }
  }
  return answers;
}

}  // namespace kata::monitor
