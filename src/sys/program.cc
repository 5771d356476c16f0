// SPDX-License-Identifier: Apache-2.0
#include "sys/program.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <climits>

#include "sys/process.h"

namespace kata::sys {

std::string OwnProgram() {
  constexpr char kLink[] = "/proc/self/exe";
  char target[PATH_MAX];
  const ssize_t size = ::readlink(kLink, target, sizeof target);
  if (size <= 0 || static_cast<size_t>(size) >= sizeof target) return kLink;
  std::string path(target, static_cast<size_t>(size));
  return ::access(path.c_str(), X_OK) == 0 ? path : kLink;
}

Result<std::string> FindNeighbour(std::string_view name) {
  std::string beside = OwnProgram();
  beside.resize(beside.rfind('/') + 1);
  beside += name;
  if (::access(beside.c_str(), X_OK) == 0) return beside;
  return FindExecutable(name);
}

void ShowArguments(std::span<const char* const> arguments, std::span<const std::string> words) {
  if (arguments.empty()) return;
  // The kernel has put the strings one behind the other.
  char* const begin = const_cast<char*>(arguments.front());
  char* end = begin;
  for (const char* argument : arguments) {
    if (argument != end) break;
    end += ::strlen(argument) + 1;
  }
  char* at = begin;
  for (const std::string& word : words) {
    const size_t size = word.size() + 1;
    if (size > static_cast<size_t>(end - at)) break;
    ::memcpy(at, word.c_str(), size);
    at += size;
  }
  ::memset(at, 0, static_cast<size_t>(end - at));
  // Needs a capability; without it the list ends in empty words.
  (void)::prctl(PR_SET_MM, PR_SET_MM_ARG_END, at, 0, 0);
}

}  // namespace kata::sys
