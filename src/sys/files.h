// SPDX-License-Identifier: Apache-2.0
//
// sys/files.h - whole files and directories.
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// open(2) with O_CLOEXEC always set.
Result<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0);

// Errors  kOutOfRange  the file is larger than `limit`
Result<std::string> ReadFile(const std::string& path, size_t limit = 16 << 20);

// Creates or truncates.
Result<void> WriteFile(const std::string& path, std::string_view content, mode_t mode = 0644);

// Writes a temporary neighbour, then renames it: a reader sees the old or the new content.
Result<void> ReplaceFile(const std::string& path, std::string_view content, mode_t mode = 0644);

// A file in memory with this content, at its beginning, for a program's standard input: unlike a
// pipe it holds any amount before somebody reads.
Result<UniqueFd> MakeTextFile(std::string_view content);

// Writes to a file that must exist already, such as one below /proc, /sys or a cgroup, with one
// write(2): the kernel parses each write on its own.
Result<void> WriteControl(const std::string& path, std::string_view value);

// chmod(2) of what `fd` is open on, which may be open with O_PATH, and so be anything but a
// symbolic link, without another look at its name.
Result<void> ChangeMode(int fd, mode_t mode);

// mkdir -p. New directories get `mode`.
Result<void> MakeDirs(const std::string& path, mode_t mode = 0755);

// rm -r without crossing into another file system and without following links. A missing path is
// success; a few files that others still put into it go, too.
Result<void> RemoveTree(const std::string& path);

// unlink(2); a missing path is success.
Result<void> RemoveFile(const std::string& path);

bool Exists(const std::string& path);

// The names in a directory, in no order, without "." and ".."; none where it cannot be read.
std::vector<std::string> ListDirectory(const std::string& path);

// Whether the descriptor is of /dev/null.
bool IsNullDevice(int fd);

}  // namespace kata::sys
