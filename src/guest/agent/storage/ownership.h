// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/ownership.h - giving a volume to a group (Kubernetes' fsGroup).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace kata::guest {

// Everything below `path` gets the group, which may read and write it and enter directories;
// directories pass the group on. Symbolic links keep their mode; other mounts below are left alone.
// With `only_on_mismatch` nothing is done when `path` itself is as it should be.
// Takes as long as the tree is large.
Result<void> ChangeGroup(const std::string& path, gid_t group, bool only_on_mismatch);

}  // namespace kata::guest
