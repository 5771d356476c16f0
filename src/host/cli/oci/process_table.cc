// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/process_table.h"

#include <time.h>

#include <fmt/format.h>

namespace kata::cli::oci {
namespace {

constexpr size_t kMaxShownBytes = 4096;
constexpr size_t kMaxShownWord = 16;

enum class Format { kFull, kPlain, kBsd };

Result<Format> ReadOptions(std::span<const std::string> options) {
  if (options.empty()) return Format::kFull;
  bool full = false;
  bool bsd = false;
  for (const std::string& option : options) {
    const std::string letters = option.substr(option.starts_with('-') ? 1 : 0);
    const size_t unknown = letters.find_first_not_of("eAafxw");
    if (letters.empty() || unknown != std::string::npos) {
      return Fail(
          Code::kInvalidArgument,
          fmt::format("ps option \"{}\" is not known: -e, -A, -a, -f, -x and -w are", option));
    }
    full = full || letters.find('f') != std::string::npos;
    bsd = bsd || letters.find('x') != std::string::npos;
  }
  return full ? Format::kFull : bsd ? Format::kBsd : Format::kPlain;
}

std::string Printable(const std::string& text, size_t most) {
  std::string result;
  for (const char c : text.substr(0, most)) {
    result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return result;
}

std::string StartText(uint64_t seconds, uint64_t now) {
  const auto when = static_cast<time_t>(seconds);
  tm parts{};
  ::localtime_r(&when, &parts);
  char text[16];
  ::strftime(text, sizeof text, now < seconds + 24 * 3600 ? "%H:%M" : "%b%d", &parts);
  return text;
}

std::string Row(Format format, const task::ProcessInfo& process, const TableContext& context) {
  const task::ProcessLook& look = process.look();
  const uint64_t cpu = look.cpu_seconds();
  const std::string terminal =
      look.terminal().empty() ? "?" : Printable(look.terminal(), kMaxShownWord);
  const std::string time = fmt::format("{:02}:{:02}:{:02}", cpu / 3600, cpu / 60 % 60, cpu % 60);
  const std::string command = Printable(look.command(), kMaxShownBytes);
  switch (format) {
    case Format::kFull:
      return fmt::format("{:<8} {:>7} {:>7}  0 {:>5} {:<8} {} {}\n", context.name_of(look.uid()),
                         look.pid(), look.parent(), StartText(look.started(), context.now),
                         terminal, time, command);
    case Format::kPlain:
      return fmt::format("{:>7} {:<8} {} {}\n", look.pid(), terminal, time,
                         Printable(look.name(), kMaxShownBytes));
    case Format::kBsd:
      return fmt::format("{:>7} {:<8} {:<4} {:>3}:{:02} {}\n", look.pid(), terminal,
                         Printable(look.status(), kMaxShownWord), cpu / 60, cpu % 60, command);
  }
  return "";
}

}  // namespace

Result<std::string> ProcessTable(const task::PidsResponse& processes,
                                 std::span<const std::string> options,
                                 const TableContext& context) {
  const Format format = KATA_TRY(ReadOptions(options));
  std::string text = format == Format::kFull
                         ? "UID          PID    PPID  C STIME TTY          TIME CMD\n"
                     : format == Format::kPlain ? "    PID TTY          TIME CMD\n"
                                                : "    PID TTY      STAT   TIME COMMAND\n";
  for (const task::ProcessInfo& process : processes.processes()) {
    text += Row(format, process, context);
  }
  return text;
}

}  // namespace kata::cli::oci
