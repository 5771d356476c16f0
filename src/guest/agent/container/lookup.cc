// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/lookup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxPasswd = 1 << 20;

// The kernel's words with a small first letter, as Go prints them.
std::string Cause(int error_number) {
  char buffer[128];
  std::string cause = ::strerror_r(error_number, buffer, sizeof buffer);
  if (!cause.empty() && cause[0] >= 'A' && cause[0] <= 'Z') cause[0] += 'a' - 'A';
  return cause;
}

struct Verdict {
  int error_number = 0;
  bool missing = false;  // stat failed, as opposed to not being executable
};

Verdict CheckExecutable(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {.error_number = errno, .missing = true};
  if (S_ISDIR(status.st_mode)) return {.error_number = EISDIR};
  // A system call filter from before faccessat2 answers EPERM; then execve finds out.
  if (::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) != 0 && errno != EPERM) {
    return {.error_number = errno};
  }
  return {};
}

}  // namespace

Result<std::string> FindExecutable(const std::string& name, const char* search_path) {
  if (name.find('/') != std::string::npos) {
    const Verdict verdict = CheckExecutable(name);
    if (verdict.error_number == 0) return name;
    std::string cause = Cause(verdict.error_number);
    // Engines look for these words to tell what cannot be executed from what is missing.
    if (verdict.error_number == EISDIR) cause += ": permission denied";
    return std::unexpected(Error::FromErrnoWorded(
        verdict.error_number, verdict.missing
                                  ? fmt::format("exec: \"{}\": stat {}: {}", name, name, cause)
                                  : fmt::format("exec: \"{}\": {}", name, cause)));
  }
  const std::string_view dirs = search_path == nullptr ? "" : search_path;
  for (size_t begin = 0; begin < dirs.size();) {
    const size_t end = std::min(dirs.find(':', begin), dirs.size());
    const std::string_view dir = dirs.substr(begin, end - begin);
    begin = end + 1;
    // An empty element would mean the working directory, which nobody wants searched.
    if (dir.empty()) continue;
    std::string path = fmt::format("{}/{}", dir, name);
    if (CheckExecutable(path).error_number == 0) return path;
  }
  return std::unexpected(Error::FromErrnoWorded(
      ENOENT, fmt::format("exec: \"{}\": executable file not found in $PATH", name)));
}

Error ExecError(const std::string& path, int error_number) {
  return Error::FromErrnoWorded(error_number,
                                fmt::format("exec {}: {}", path, Cause(error_number)));
}

Error CwdError(const std::string& cwd, int error_number) {
  return Error::FromErrnoWorded(
      error_number,
      fmt::format("chdir to cwd (\"{}\") set in config.json failed: {}", cwd, Cause(error_number)));
}

std::string HomeOf(std::string_view passwd, uid_t uid) {
  while (!passwd.empty()) {
    const size_t end = std::min(passwd.find('\n'), passwd.size());
    std::string_view line = passwd.substr(0, end);
    passwd.remove_prefix(std::min(end + 1, passwd.size()));
    std::string_view fields[7];
    size_t count = 0;
    for (; count < std::size(fields); ++count) {
      const size_t colon = std::min(line.find(':'), line.size());
      fields[count] = line.substr(0, colon);
      if (colon == line.size()) break;
      line.remove_prefix(colon + 1);
    }
    uid_t found = 0;
    const char* const stop = fields[2].data() + fields[2].size();
    const auto [at, status] = std::from_chars(fields[2].data(), stop, found);
    if (fields[2].empty() || status != std::errc() || at != stop || found != uid) continue;
    if (!fields[5].empty()) return std::string(fields[5]);
  }
  return "/";
}

std::string FindHome(uid_t uid) {
  // Whatever the image calls /etc/passwd: a fifo must not hold us up.
  const auto file = sys::Open("/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return "/";
  struct stat status{};
  if (::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode)) return "/";
  const auto text = sys::ReadToEnd(file->get(), kMaxPasswd);
  return text ? HomeOf(*text, uid) : "/";
}

}  // namespace kata::guest
