// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/shown_files.h - other files in place of those that containers of a copied guest have.
//
// What was bound into a container when it was made cannot be changed from outside: its /etc/hosts
// is the saved one's. And a kernel that has told its boot id once tells the same for ever, in every
// copy of its memory. Such files are mounted over.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/agent/container_table.h"
#include "sys/event_loop.h"

namespace kata::guest {

struct ShownFile {
  std::string file;  // or directory, of the agent's
  std::string path;  // in the containers
  bool read_only = true;
};

// Mounts the files in the mount namespaces of these processes; where there is nothing at a path,
// nothing is shown. What is there already, because a copy of a copy is made, is left. `done` on the
// loop's thread.
void ShowFiles(sys::EventLoop& loop, const std::vector<pid_t>& pids,
               const std::vector<ShownFile>& files,
               std::move_only_function<void(Result<void>)> done);

// Has all containers read `boot_id`, a UUID as the kernel writes it.
// Errors  kInvalidArgument  no UUID
void ShowBootId(sys::EventLoop& loop, const ContainerTable& containers, const std::string& boot_id,
                std::move_only_function<void(Result<void>)> done);

}  // namespace kata::guest
