// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container_table.h - the containers of the guest and the processes that the host
// knows in them.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/agent/container/container.h"
#include "guest/agent/process.h"

namespace kata::guest {

// Everything about one container. It is in the table from the moment that its creation begins, so
// that its id is taken; until then `container` and `init` are null.
struct ContainerEntry {
  using Done = std::move_only_function<void(Result<void>)>;

  explicit ContainerEntry(std::string id_in) : id(std::move(id_in)) {}

  std::string id;
  std::unique_ptr<Container> container;
  std::vector<std::string> mount_points;  // held in the sandbox's StorageTable
  std::shared_ptr<Process> init;
  std::map<std::string, std::shared_ptr<Process>> execs;  // by exec id
  bool created = false;                                   // CreateContainer has succeeded
  bool paused = false;
  bool removed = false;        // nothing of it is left
  bool bringing_back = false;  // its upper layer, to the host
  std::vector<std::move_only_function<void()>> after_bringing_back;
  std::vector<Done> removals;  // calls that wait for the removal; not empty while it is under way

  bool removing() const { return !removals.empty(); }
  // Every process that was reaped or never forked.
  bool AllExited() const;
};

class ContainerTable {
 public:
  using EntryPtr = std::shared_ptr<ContainerEntry>;

  // Errors  kAlreadyExists, kResourceExhausted (1024 containers)
  Result<EntryPtr> Add(const std::string& id);
  void Erase(const std::string& id) { entries_.erase(id); }
  // Errors  kNotFound, kAlreadyExists, kInvalidArgument
  Result<EntryPtr> Rename(const std::string& id, const std::string& now);

  // Errors  kInvalidArgument  not an id
  //         kNotFound         no container, or one that is not created yet
  Result<EntryPtr> Find(const std::string& id) const;
  // The entry, created or not; null if there is none.
  EntryPtr FindAny(const std::string& id) const;

  // A process by its names; an exec id that is empty or the container's means the first process.
  // Errors  kInvalidArgument, kNotFound
  Result<std::shared_ptr<Process>> FindProcess(const std::string& id,
                                               const std::string& exec_id) const;
  // The same, for readers of output: also finds an exec whose end has been reported.
  Result<std::shared_ptr<Process>> FindOutput(const std::string& id,
                                              const std::string& exec_id) const;

  // The process that the kernel knows as `pid`, and its container; nulls for a stranger.
  struct Owner {
    EntryPtr entry;
    std::shared_ptr<Process> process;
  };
  Owner FindPid(pid_t pid) const;

  // Forgets execs whose end was reported and whose output was read to the end; the oldest of those
  // that still have output when there are more than 256.
  static void Tidy(ContainerEntry& entry);

  const std::map<std::string, EntryPtr>& entries() const { return entries_; }

 private:
  std::map<std::string, EntryPtr> entries_;
};

}  // namespace kata::guest
