// SPDX-License-Identifier: Apache-2.0
//
// sys/program.h - this process's program: its file, its neighbours, and what /proc shows of it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::sys {

// The running program's own file, so that it can be started again under its name; /proc/self/exe
// when an upgrade has removed it.
std::string OwnProgram();

// The program `name` beside the running one, else from $PATH.
// Errors  those of FindExecutable
Result<std::string> FindNeighbour(std::string_view name);

// What /proc shows as this process's arguments from here on: `words`, as far as they fit into the
// place of `arguments`, which are those that main() got.
void ShowArguments(std::span<const char* const> arguments, std::span<const std::string> words);

}  // namespace kata::sys
