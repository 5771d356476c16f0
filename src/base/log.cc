// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace kata::log {
namespace {

// A pipe takes this much at once or not at all (PIPE_BUF), so a line neither mixes with another
// process's nor blocks.
constexpr size_t kMaxLine = 4096;

std::atomic<int> output{STDERR_FILENO};
std::atomic<size_t> output_limit{0};
std::atomic<size_t> output_size{0};
std::atomic<Level> threshold{Level::kInfo};

std::string& CommonFields() {
  static std::string fields;
  return fields;
}

std::string_view LevelName(Level level) {
  switch (level) {
    case Level::kTrace:
      return "trace";
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "info";
}

bool NeedsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == '\x7f') return true;
  }
  return false;
}

// A guest's words can reach a message: control characters are escaped, so that one event stays one
// line and cannot forge another.
void AppendQuoted(std::string& line, std::string_view value) {
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      fmt::format_to(std::back_inserter(line), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      line += c;
    }
  }
  line += '"';
}

void AppendField(std::string& line, const Field& field) {
  line += ' ';
  line += field.key;
  line += '=';
  if (NeedsQuotes(field.value)) {
    AppendQuoted(line, field.value);
  } else {
    line += field.value;
  }
}

// Two threads that meet at the limit may both empty the file, which loses a line.
void KeepWithinLimit(int fd, size_t size) {
  const size_t limit = output_limit;
  if (limit == 0 || output_size.fetch_add(size) + size <= limit) return;
  // A pipe cannot be emptied so, and needs it not: its reader takes the lines.
  if (::ftruncate(fd, 0) != 0) return;
  output_size = size;
}

}  // namespace

void SetOutput(int fd, size_t limit) {
  output = fd;
  output_limit = limit;
  output_size = 0;
}
void SetLevel(Level level) { threshold = level; }
bool Enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

void SetCommonFields(std::initializer_list<Field> fields) {
  CommonFields().clear();
  for (const Field& field : fields) AppendField(CommonFields(), field);
}

bool ParseLevel(std::string_view word, Level* level) {
  if (word == "trace") {
    *level = Level::kTrace;
  } else if (word == "debug") {
    *level = Level::kDebug;
  } else if (word == "info") {
    *level = Level::kInfo;
  } else if (word == "warn" || word == "warning") {
    *level = Level::kWarn;
  } else if (word == "error") {
    *level = Level::kError;
  } else {
    return false;
  }
  return true;
}

void Write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  const int fd = output;
  if (fd < 0) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  std::string line = fmt::format(
      "time=\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z\" level={} msg=", utc.tm_year + 1900,
      utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1'000'000,
      LevelName(level));
  AppendQuoted(line, message);
  line += CommonFields();
  for (const Field& field : fields) AppendField(line, field);
  if (line.size() >= kMaxLine) line.resize(kMaxLine - 1);
  line += '\n';
  pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
  if (::poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT)) return;
  KeepWithinLimit(fd, line.size());
  [[maybe_unused]] const ssize_t written = ::write(fd, line.data(), line.size());
}

}  // namespace kata::log
