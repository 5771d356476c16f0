// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/endpoint.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::stdio {
namespace {

Result<std::string> Unescape(std::string_view text, bool plus_is_space) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      plain += ' ';
    } else if (text[i] != '%') {
      plain += text[i];
    } else {
      unsigned value = 0;
      const char* const first = text.data() + i + 1;
      if (i + 2 >= text.size()) {
        return Fail(Code::kInvalidArgument, "a percent escape is cut short");
      }
      const auto [end, error] = std::from_chars(first, first + 2, value, 16);
      if (error != std::errc() || end != first + 2 || value == 0) {
        return Fail(Code::kInvalidArgument,
                    fmt::format("bad escape \"%{}{}\"", first[0], first[1]));
      }
      plain += static_cast<char>(value);
      i += 2;
    }
  }
  return plain;
}

Result<std::vector<std::string>> ParseQuery(std::string_view query) {
  std::vector<std::string> arguments;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    arguments.push_back(KATA_TRY(Unescape(pair.substr(0, equals), true)));
    const std::string_view value = equals < pair.size() ? pair.substr(equals + 1) : "";
    arguments.push_back(KATA_TRY(Unescape(value, true)));
  }
  return arguments;
}

Result<Uri> ParseParts(const std::string& text) {
  if (text.empty()) return Uri{};
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string::npos) {
    if (text.front() != '/') return Fail(Code::kInvalidArgument, "expected an absolute path");
    return Uri{.kind = Uri::Kind::kFifo, .path = text};
  }
  const std::string scheme = text.substr(0, scheme_end);
  const std::string_view rest = std::string_view(text).substr(scheme_end + 3);
  const size_t query = std::min(rest.find('?'), rest.size());
  Uri uri;
  uri.path = KATA_TRY(Unescape(rest.substr(0, query), false));
  if (scheme == "fifo") {
    uri.kind = Uri::Kind::kFifo;
  } else if (scheme == "file") {
    uri.kind = Uri::Kind::kFile;
  } else if (scheme == "binary") {
    uri.kind = Uri::Kind::kBinary;
    if (query < rest.size()) uri.arguments = KATA_TRY(ParseQuery(rest.substr(query + 1)));
  } else {
    return Fail(
        Code::kInvalidArgument,
        fmt::format("unknown scheme \"{}\"; use a fifo's path, file:// or binary://", scheme));
  }
  if (uri.path.empty() || uri.path.front() != '/') {
    return Fail(Code::kInvalidArgument, "expected an absolute path");
  }
  return uri;
}

Error NotAFifo(const std::string& path) {
  return Error(Code::kInvalidArgument, fmt::format("open \"{}\": not a fifo", path));
}

}  // namespace

Result<Uri> ParseUri(const std::string& text) {
  return KATA_TRY_WITHIN(fmt::format("stdio \"{}\"", text), ParseParts(text));
}

Result<Output> OpenOutput(const Uri& uri) {
  switch (uri.kind) {
    case Uri::Kind::kNone:
      return Output();
    case Uri::Kind::kFifo: {
      // Before this process is a reader itself.
      const auto probe = sys::Open(uri.path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
      const bool late = !probe && probe.error().error_number() == ENXIO;
      return Output{.fd = KATA_TRY(sys::Open(uri.path, O_RDWR | O_NONBLOCK | O_NOCTTY)),
                    .reader_is_late = late};
    }
    case Uri::Kind::kFile: {
      const size_t slash = uri.path.rfind('/');
      if (slash > 0) KATA_TRY(sys::MakeDirs(uri.path.substr(0, slash)));
      return Output{
          .fd = KATA_TRY(sys::Open(uri.path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0644))};
    }
    case Uri::Kind::kBinary:
      break;
  }
  return Fail(Code::kInvalidArgument, "a logging program is not a file to open");
}

Result<bool> HasInput(const std::string& path) {
  if (path.empty() || path == "/dev/null") return false;
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return FailErrno("open", path);
  if (!S_ISFIFO(status.st_mode)) return std::unexpected(NotAFifo(path));
  return true;
}

Result<Input> OpenInput(const std::string& path) {
  if (!KATA_TRY(HasInput(path))) return std::unexpected(NotAFifo(path));
  Input input;
  input.reader = KATA_TRY(sys::Open(path, O_RDONLY | O_NONBLOCK));
  input.keeper = KATA_TRY(sys::Open(path, O_WRONLY | O_NONBLOCK));
  return input;
}

}  // namespace kata::stdio
