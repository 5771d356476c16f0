// SPDX-License-Identifier: Apache-2.0
//
// base/version.h - which build this is. One small source knows, so that a new commit compiles one.
#pragma once

namespace kata {

// Of the project, such as "0.1.0".
extern const char kVersion[];

// The commit that was built, 12 hexadecimal digits, or "unknown" outside of a git work tree.
extern const char kRevision[];

}  // namespace kata
