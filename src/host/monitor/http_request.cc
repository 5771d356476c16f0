// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/http_request.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace kata::monitor {
namespace {

constexpr size_t kMostParameters = 16;

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      decoded += ' ';
    } else if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const auto high = HexDigit(text[i + 1]);
      const auto low = HexDigit(text[i + 2]);
      if (!high || !low) return std::nullopt;
      decoded += static_cast<char>(*high * 16 + *low);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

// Takes what is before `separator` off, and the separator.
std::string_view TakeUpTo(std::string_view separator, std::string_view* text) {
  const size_t end = std::min(text->find(separator), text->size());
  const std::string_view taken = text->substr(0, end);
  text->remove_prefix(std::min(end + separator.size(), text->size()));
  return taken;
}

std::string_view Trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

bool IsHeader(std::string_view name, std::string_view lower) {
  return std::ranges::equal(name, lower, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

Result<void> ReadTarget(std::string_view target, HttpRequest* request) {
  if (!target.starts_with('/')) return Fail(Code::kInvalidArgument, "the target is no path");
  const auto path = Decode(TakeUpTo("?", &target));
  if (!path) return Fail(Code::kInvalidArgument, "the path is malformed");
  request->path = *path;
  for (size_t i = 0; i < kMostParameters && !target.empty(); ++i) {
    std::string_view value = TakeUpTo("&", &target);
    const auto name = Decode(TakeUpTo("=", &value));
    const auto decoded = Decode(value);
    if (!name || !decoded) return Fail(Code::kInvalidArgument, "the query is malformed");
    request->query.emplace(*name, *decoded);
  }
  return {};
}

std::string_view StatusWord(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Error";
  }
}

}  // namespace

Result<HttpRequest> ParseHead(std::string_view head) {
  std::string_view line = TakeUpTo("\r\n", &head);
  const std::string_view method = TakeUpTo(" ", &line);
  const std::string_view target = TakeUpTo(" ", &line);
  if (!line.starts_with("HTTP/1.")) return Fail(Code::kInvalidArgument, "no HTTP/1 request");
  HttpRequest request{.head_only = method == "HEAD"};
  if (method != "GET" && method != "HEAD") {
    return Fail(Code::kUnimplemented, "only GET and HEAD are possible");
  }
  KATA_TRY(ReadTarget(target, &request));
  while (!head.empty()) {
    std::string_view value = TakeUpTo("\r\n", &head);
    const std::string_view name = TakeUpTo(":", &value);
    if (IsHeader(name, "accept")) request.accept = Trim(value);
    const bool body = (IsHeader(name, "content-length") && Trim(value) != "0") ||
                      IsHeader(name, "transfer-encoding");
    if (body) return Fail(Code::kUnimplemented, "requests have no bodies here");
  }
  return request;
}

std::string FormatResponse(const HttpResponse& response, bool head_only) {
  std::string text = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n"
      "X-Content-Type-Options: nosniff\r\n\r\n",
      response.status, StatusWord(response.status), response.type, response.body.size());
  if (!head_only) text += response.body;
  return text;
}

}  // namespace kata::monitor
