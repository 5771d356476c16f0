// SPDX-License-Identifier: Apache-2.0
//
// One half of the interoperation test: `ttrpc_echo serve SOCKET` offers the service that the Go
// program checks, `ttrpc_echo check SOCKET` checks the service that the Go program offers.
//
// The service, kata.interop.Echo; every message is one bytes field of number 1:
//   Echo  answers what it was sent           Fail   fails with the code named by its decimal number
//   Meta  answers the pair "color"           Large  answers that many bytes
//   Wait  answers never
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "proto/ttrpc.pb.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "ttrpc/client.h"
#include "ttrpc/server.h"

namespace kata {
namespace {

constexpr std::string_view kService = "kata.interop.Echo";

// The one-field message, as any message with text in field 1.
std::string Wrap(std::string_view text) {
  kata::ttrpc::KeyValue message;
  message.set_key(std::string(text));
  return message.SerializeAsString();
}

std::string Unwrap(std::string_view bytes) {
  kata::ttrpc::KeyValue message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return "unparsable";
  return message.key();
}

int ToInt(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Result<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Fail(Code::kInvalidArgument, "the socket's path is too long");
  }
  path.copy(address.sun_path, path.size());
  return address;
}

Result<void> Serve(const std::string& path) {
  const sockaddr_un address = KATA_TRY(Address(path));
  sys::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("bind", path);
  }
  if (::listen(listener.get(), 128) != 0) return FailErrno("listen", path);

  const auto loop = KATA_TRY(sys::EventLoop::Create());
  std::vector<ttrpc::Responder> waiting;
  ttrpc::Server server(*loop);
  const std::string service(kService);
  server.Handle(service, "Echo",
                [](ttrpc::CallContext, std::string_view payload, ttrpc::Responder reply) {
                  reply.ReplyBytes(std::string(payload));
                });
  server.Handle(service, "Fail",
                [](ttrpc::CallContext, std::string_view payload, ttrpc::Responder reply) {
                  reply.Fail(Error(static_cast<Code>(ToInt(Unwrap(payload))), "failed as asked"));
                });
  server.Handle(service, "Meta",
                [](ttrpc::CallContext context, std::string_view, ttrpc::Responder reply) {
                  std::string colors;
                  for (const auto& [key, value] : context.metadata) {
                    if (key == "color") colors += (colors.empty() ? "" : ",") + value;
                  }
                  reply.ReplyBytes(Wrap(colors));
                });
  server.Handle(service, "Large",
                [](ttrpc::CallContext, std::string_view payload, ttrpc::Responder reply) {
                  const int size = ToInt(Unwrap(payload));
                  reply.ReplyBytes(Wrap(std::string(static_cast<size_t>(size), 'x')));
                });
  server.Handle(service, "Wait", [&](ttrpc::CallContext, std::string_view, ttrpc::Responder reply) {
    waiting.push_back(std::move(reply));
  });
  KATA_TRY(server.Listen(std::move(listener)));
  return loop->Run();
}

class Checker {
 public:
  explicit Checker(ttrpc::Client& client) : client_(client) {}

  Result<std::string> Call(std::string_view method, std::string_view text,
                           std::chrono::milliseconds timeout = std::chrono::seconds(20),
                           ttrpc::Metadata metadata = {}) {
    auto answer =
        client_.Call(kService, method, Wrap(text), Deadline::After(timeout), std::move(metadata));
    if (!answer) return answer;
    return Unwrap(*answer);
  }

  void Expect(bool good, std::string_view what) {
    std::printf("%s C++ client: %.*s\n", good ? "ok  " : "FAIL", static_cast<int>(what.size()),
                what.data());
    if (!good) ++failures_;
  }
  int failures() const { return failures_; }

 private:
  ttrpc::Client& client_;
  int failures_ = 0;
};

void CheckParallel(Checker& checker) {
  std::vector<std::thread> threads;
  std::vector<int> right(200);
  for (size_t i = 0; i < right.size(); ++i) {
    threads.emplace_back([&checker, &right, i] {
      const std::string text = std::to_string(i) + std::string(i * 100, 'x');
      right[i] = checker.Call("Echo", text) == text;
    });
  }
  int sum = 0;
  for (size_t i = 0; i < right.size(); ++i) {
    threads[i].join();
    sum += right[i];
  }
  checker.Expect(sum == 200, "200 calls at a time");
}

bool FailedWith(const Result<std::string>& answer, Code code) {
  return !answer && answer.error().code() == code;
}

void CheckAll(Checker& checker, ttrpc::Client& client) {
  checker.Expect(checker.Call("Echo", "hello") == "hello", "echo");
  checker.Expect(checker.Call("Echo", "") == "", "empty echo");
  bool codes = true;
  for (int code = 1; code <= 16; ++code) {
    const auto answer = checker.Call("Fail", std::to_string(code));
    codes = codes && FailedWith(answer, static_cast<Code>(code)) &&
            answer.error().message() == "failed as asked";
  }
  checker.Expect(codes, "status codes 1 to 16");
  checker.Expect(checker.Call("Meta", "", std::chrono::seconds(20),
                              {{"color", "red"}, {"size", "big"}, {"color", "blue"}}) == "red,blue",
                 "metadata");
  checker.Expect(
      FailedWith(checker.Call("Wait", "", std::chrono::milliseconds(100)), Code::kDeadlineExceeded),
      "a timeout ends a call");
  checker.Expect(FailedWith(checker.Call("Nope", ""), Code::kUnimplemented), "unknown method");
  checker.Expect(FailedWith(client.Call("no.such.Service", "Echo", "",
                                        Deadline::After(std::chrono::seconds(20))),
                            Code::kUnimplemented),
                 "unknown service");
  const std::string large((4 << 20) - 200, 'x');
  checker.Expect(checker.Call("Echo", large) == large, "almost 4 MiB");
  checker.Expect(
      FailedWith(checker.Call("Echo", large + std::string(1000, 'x')), Code::kResourceExhausted),
      "a request above 4 MiB is refused");
  const auto oversized = checker.Call("Large", std::to_string(5 << 20));
  checker.Expect(FailedWith(oversized, Code::kResourceExhausted),
                 "a response above 4 MiB fails its call");
  checker.Expect(checker.Call("Echo", "after") == "after", "and the connection goes on");
  CheckParallel(checker);
}

Result<int> Check(const std::string& path) {
  const sockaddr_un address = KATA_TRY(Address(path));
  sys::UniqueFd stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(stream.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("connect", path);
  }
  const auto loop = KATA_TRY(sys::EventLoop::Create());
  auto client = KATA_TRY(ttrpc::Client::Create(*loop, std::move(stream)));
  std::thread thread([&] { (void)loop->Run(); });
  Checker checker(*client);
  CheckAll(checker, *client);
  client.reset();
  loop->Stop();
  thread.join();
  return checker.failures();
}

Result<int> Main(const std::string& mode, const std::string& path) {
  if (mode == "check") return Check(path);
  if (mode != "serve") return Fail(Code::kInvalidArgument, "usage: ttrpc_echo serve|check SOCKET");
  KATA_TRY(Serve(path));
  return 0;
}

}  // namespace
}  // namespace kata

int main(int argc, char** argv) {
  const auto failures = kata::Main(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
  if (!failures) std::fprintf(stderr, "ttrpc_echo: %s\n", failures.error().message().c_str());
  return failures && *failures == 0 ? 0 : 1;
}
