// SPDX-License-Identifier: Apache-2.0
//
// sys/open_file_limit.h - how many descriptors this process may have.
//
// Basis: getrlimit(2), RLIMIT_NOFILE.
#pragma once

#include <cstddef>

namespace kata::sys {

// Raises the soft limit to `wanted`, as far as the hard one goes; never lowers it. What it is then.
size_t RaiseOpenFileLimit(size_t wanted);

}  // namespace kata::sys
