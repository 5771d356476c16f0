// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/copy_file.h - files that the host sends piece by piece.
#pragma once

#include <string>

#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::guest {

// Does what one CopyFile call asks for, below the directory `base`:
//   a regular file   writes the piece at its offset into "<path>.tmp", which gets its name, owner
//                    and mode when it has reached file_size
//   a directory      makes it; an existing one gets owner and mode
//   a symbolic link  makes it with `data` as its target, in place of what was there
// Missing directories above are made with dir_mode. No symbolic link is followed on the way.
//
// Errors  kInvalidArgument  the path is not below `base`, or names another kind of file
Result<void> CopyFile(const std::string& base, const agent::CopyFileRequest& request);

// Removes a file, a link or an empty directory that CopyFile made. What is not there is fine.
//
// Errors  kInvalidArgument  as above
Result<void> RemoveCopy(const std::string& base, const std::string& path);

}  // namespace kata::guest
