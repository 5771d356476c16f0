// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/running_daemon.h - front ends' daemons that run, how they were started, and other
// programs of theirs.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace kata::cli::setup {

struct RunningDaemon {
  pid_t pid = 0;
  std::vector<std::string> argv;
  std::string program;  // its file; "" when that has been replaced meanwhile
  std::string path;     // its $PATH
  std::string parent;   // the name of the program that started it
};

// Those called `name` in this process's PID and user namespaces: not the ones inside of containers,
// and not the rootless ones, which cannot use machines of root's.
std::vector<RunningDaemon> FindDaemons(std::string_view name);

// The values of "--NAME VALUE", "--NAME=VALUE" and "-LETTER VALUE" among the arguments, in order.
std::vector<std::string> FlagValues(const std::vector<std::string>& argv, std::string_view name,
                                    char letter = '\0');
// The last of them.
std::optional<std::string> FlagValue(const std::vector<std::string>& argv, std::string_view name,
                                     char letter = '\0');

// A program that may be kept where $PATH does not look, as daemons are; "" where there is none.
std::string FindDaemonProgram(std::string_view name);

// Whether a search of `path` finds something executable called `name`.
bool IsInPath(const std::string& path, std::string_view name);

// Whether two paths lead to one file, or would once it exists.
bool IsSameFile(const std::string& a, const std::string& b);

// The lines of a text, without empty ones.
std::vector<std::string> NonEmptyLines(std::string_view text);

// How a program ended and what it wrote, each bounded.
struct ProgramResult {
  int status = 0;  // as shells count
  std::string out;
  std::string err;

  // The last line of its errors, else of its output, for a message.
  std::string LastLine() const;
};
// Errors  those of starting it; kDeadlineExceeded, and it is killed
Result<ProgramResult> RunProgram(const std::vector<std::string>& argv, Deadline deadline);

// Whether systemd runs here and could be asked to restart something.
bool SystemdRuns();
// systemctl restart. Errors  kInternal  with systemctl's words
Result<void> RestartUnit(const std::string& unit);

}  // namespace kata::cli::setup
