// SPDX-License-Identifier: Apache-2.0
//
// base/log.h - one line per event, as key=value pairs that containerd and people can read:
//   time="2026-11-22T03:32:13.412Z" level=info msg="vm started" sandbox=ab12
//
// Lines go to one descriptor per process. Whoever stops an error's journey logs it, once; library
// code returns errors and does not log them. Safe from every thread; never blocks on a full pipe
// (the line is dropped); not safe between fork and exec.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/result.h"

namespace kata::log {

enum class Level { kTrace, kDebug, kInfo, kWarn, kError };

// A value as the log prints it. Strings with spaces or quotes are quoted.
struct Field {
  std::string_view key;
  std::string value;

  template <class T>
  Field(std::string_view key_in, const T& value_in)
      : key(key_in), value(fmt::format("{}", value_in)) {}
};

// Sends every later line to `fd`, which must stay open while the process logs; -1 discards lines.
// At first lines go to standard error. A file that is appended to is emptied before this process
// has written more than `limit` bytes to it; 0 is no limit.
void SetOutput(int fd, size_t limit = 0);
// Lines below `level` are not made. kInfo at first.
void SetLevel(Level level);
bool Enabled(Level level);
// Fields that every later line carries, such as the sandbox's id. Call before threads exist.
void SetCommonFields(std::initializer_list<Field> fields);

// "trace", "debug", "info", "warn" or "warning", "error"; returns false for any other word.
bool ParseLevel(std::string_view word, Level* level);

void Write(Level level, std::string_view message, std::initializer_list<Field> fields);

inline void Debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kDebug)) Write(Level::kDebug, message, fields);
}
inline void Info(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kInfo)) Write(Level::kInfo, message, fields);
}
inline void Warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kWarn)) Write(Level::kWarn, message, fields);
}
inline void Error(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (Enabled(Level::kError)) Write(Level::kError, message, fields);
}

}  // namespace kata::log

namespace kata {

// Where an error ends its journey because nobody above could act on it.
inline void LogIfFailed(const Result<void>& result) {
  if (!result) log::Warn(result.error().message());
}

}  // namespace kata
