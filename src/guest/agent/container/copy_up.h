// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/copy_up.h - filling a tmpfs with what it hides ("tmpcopyup").
#pragma once

#include "base/result.h"

namespace kata::guest {

// Copies the tree below the directory `from` into the directory `to`: directories, regular files,
// symbolic links and device nodes with mode, owner and times. Does not cross into other mounts.
Result<void> CopyUp(int from, int to);

}  // namespace kata::guest
