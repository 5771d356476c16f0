// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/lookup.h - finding programs and home directories inside a container.
//
// Runs in the child, which is already inside the container's root and is the container's user.
// Nothing here uses the C library's name services: they would load the container's code.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::guest {

// The path to execute for `name`: itself if it has a slash, else the first match in `search_path`
// (the container's PATH; nullptr or empty finds nothing).
//
// Errors are worded as callers of runc know them and carry the errno:
//   kNotFound          exec: "x": executable file not found in $PATH
//                      exec: "/x": stat /x: no such file or directory
//   kPermissionDenied  exec: "/x": permission denied
Result<std::string> FindExecutable(const std::string& name, const char* search_path);

// What is said when execve of `path` failed: "exec /x: exec format error".
Error ExecError(const std::string& path, int error_number);

// The same of the working directory: chdir to cwd ("/x") set in config.json failed: not a
// directory.
Error CwdError(const std::string& cwd, int error_number);

// The sixth field of the user's line in `passwd`, the text of /etc/passwd; "/" if there is none.
std::string HomeOf(std::string_view passwd, uid_t uid);

// The same from /etc/passwd itself; "/" where it cannot be read.
std::string FindHome(uid_t uid);

}  // namespace kata::guest
