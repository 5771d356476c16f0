// SPDX-License-Identifier: Apache-2.0
#include "host/warm/protocol.h"

#include <poll.h>
#include <sys/stat.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sys/sockets.h"

namespace kata::warm {
namespace {

using nlohmann::json;

constexpr size_t kMaxLine = 4 << 20;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string FormatTake(const TakeRequest& request) {
  json take{{"program", request.program},
            {"argv", request.argv},
            {"env", request.env},
            {"directory", request.directory}};
  if (request.oom_score_adj) take["oom_score_adj"] = *request.oom_score_adj;
  return Dump({{"take", take}});
}

Result<TakeRequest> ParseTake(std::string_view line) {
  const json read = json::parse(line, nullptr, false);
  try {
    const json& take = read.at("take");
    TakeRequest request{.program = take.at("program").get<std::string>(),
                        .argv = take.at("argv").get<std::vector<std::string>>(),
                        .env = take.at("env").get<std::vector<std::string>>(),
                        .directory = take.at("directory").get<std::string>()};
    if (const auto score = take.find("oom_score_adj"); score != take.end()) {
      request.oom_score_adj = score->get<int>();
    }
    return request;
  } catch (const json::exception&) {
    return Fail(Code::kInvalidArgument, "not a request to take a warm shim");
  }
}

std::string FormatTaken(pid_t pid) { return Dump({{"pid", pid}}); }

std::string FormatRefusal(std::string_view reason) { return Dump({{"error", reason}}); }

std::string IdentityOfProgram() {
  struct stat status{};
  if (::stat("/proc/self/exe", &status) != 0) return {};
  return fmt::format("{}.{} {} {}.{:09}", status.st_dev, status.st_ino, status.st_size,
                     status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

Result<Line> ReadLine(int socket, Deadline deadline) {
  Line line;
  while (!line.text.ends_with('\n')) {
    KATA_TRY(sys::WaitFor(socket, POLLIN, deadline));
    auto part = KATA_TRY(sys::ReceiveWithFd(socket, 64 << 10));
    if (part.data.empty()) return Fail(Code::kUnavailable, "the other side has closed");
    line.text += part.data;
    if (part.fd) line.fd = std::move(part.fd);
    if (line.text.size() > kMaxLine) return Fail(Code::kOutOfRange, "a line without end");
  }
  return line;
}

Result<pid_t> Take(const std::string& endpoint, const TakeRequest& request, int listener,
                   Deadline deadline) {
  const sys::UniqueFd socket = KATA_TRY(sys::ConnectUnix(endpoint, deadline));
  KATA_TRY(sys::SendWithFd(socket.get(), FormatTake(request), listener, deadline));
  const Line answer = KATA_TRY(ReadLine(socket.get(), deadline));
  const json read = json::parse(answer.text, nullptr, false);
  if (read.is_object() && read.contains("pid") && read["pid"].is_number_integer()) {
    KATA_TRY(sys::SendAll(socket.get(), kGo, deadline));
    return read["pid"].get<pid_t>();
  }
  const bool told = read.is_object() && read.contains("error") && read["error"].is_string();
  return Fail(Code::kFailedPrecondition,
              told ? read["error"].get<std::string>() : "the warm shim's answer is none");
}

Result<std::string> Ask(const std::string& endpoint, std::string_view request, Deadline deadline) {
  const sys::UniqueFd socket = KATA_TRY(sys::ConnectUnix(endpoint, deadline));
  KATA_TRY(sys::SendAll(socket.get(), fmt::format("{{\"{}\":{{}}}}\n", request), deadline));
  return KATA_TRY(ReadLine(socket.get(), deadline)).text;
}

Result<std::string> ConfigOf(const std::string& endpoint, Deadline deadline) {
  const std::string answer = KATA_TRY(Ask(endpoint, "status", deadline));
  const json status = json::parse(answer, nullptr, false);
  const auto config = status.find("config");
  if (!status.is_object() || config == status.end() || !config->is_string()) {
    return Fail(Code::kDataLoss, "the service's status has no configuration");
  }
  return config->get<std::string>();
}

}  // namespace kata::warm
