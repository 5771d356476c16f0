// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/run_in_child.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include "sys/fd.h"

namespace kata::guest {
namespace {

constexpr size_t kMostBytes = 4 << 20;
constexpr size_t kPiece = 64 << 10;

// On the pipe: the error's code, 0 for none, and the message or the result.
void WriteResult(int fd, const Result<std::string>& result) {
  std::string bytes(1, static_cast<char>(result ? Code::kOk : result.error().code()));
  bytes += result ? *result : result.error().message();
  for (std::string_view rest = bytes; !rest.empty();) {
    const ssize_t n = sys::RetryOnEintr([&] { return ::write(fd, rest.data(), rest.size()); });
    if (n <= 0) return;
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

Result<std::string> ReadResult(std::string bytes) {
  if (bytes.empty()) return Fail(Code::kInternal, "a helper process of the agent died");
  if (bytes.size() > kMostBytes) return Fail(Code::kOutOfRange, "an answer of more than 4 MiB");
  const auto code = static_cast<Code>(bytes.front());
  bytes.erase(0, 1);
  if (code == Code::kOk) return bytes;
  return std::unexpected(Error(code, std::move(bytes)));
}

struct Wait {
  sys::UniqueFd pipe;
  std::string bytes;
  std::move_only_function<void(Result<std::string>)> done;
};

// Whether there is more to come.
bool ReadOn(Wait& wait) {
  char buffer[kPiece];
  for (;;) {
    const ssize_t n =
        sys::RetryOnEintr([&] { return ::read(wait.pipe.get(), buffer, sizeof buffer); });
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    if (wait.bytes.size() <= kMostBytes) wait.bytes.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

Result<void> RunInChild(sys::EventLoop& loop, const std::function<Result<std::string>()>& work,
                        std::move_only_function<void(Result<std::string>)> done,
                        std::vector<int> keep) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return FailErrno("pipe");
  const auto wait = std::make_shared<Wait>(
      Wait{.pipe = sys::UniqueFd(ends[0]), .bytes = {}, .done = std::move(done)});
  const sys::UniqueFd writer(ends[1]);
  keep.push_back(writer.get());
  std::ranges::sort(keep);
  // The agent has one thread, so its child may do as it likes.
  const pid_t pid = ::fork();
  if (pid < 0) return FailErrno("fork");
  if (pid == 0) {
    (void)::fcntl(writer.get(), F_SETFL, 0);
    const auto closed = sys::CloseAllBut(keep);
    WriteResult(writer.get(), closed ? work() : std::unexpected(closed.error()));
    ::_exit(0);
  }
  return loop.Add(wait->pipe.get(), EPOLLIN, [&loop, wait](uint32_t) {
    if (ReadOn(*wait)) return;
    loop.Remove(wait->pipe.get());
    wait->pipe.Reset();
    wait->done(ReadResult(std::move(wait->bytes)));
  });
}

}  // namespace kata::guest
