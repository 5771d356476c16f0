// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "guest/agent/ids.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxContainers = 1024;
constexpr int kMaxLingering = 256;

bool HasExited(const std::shared_ptr<Process>& process) {
  return process == nullptr || process->pid() <= 0 || process->exited();
}

}  // namespace

bool ContainerEntry::AllExited() const {
  return HasExited(init) &&
         std::ranges::all_of(execs, [](const auto& exec) { return HasExited(exec.second); });
}

Result<ContainerTable::EntryPtr> ContainerTable::Add(const std::string& id) {
  if (entries_.contains(id)) {
    return Fail(Code::kAlreadyExists, fmt::format("container \"{}\" already exists", id));
  }
  if (entries_.size() >= kMaxContainers) {
    return Fail(Code::kResourceExhausted, fmt::format("more than {} containers", kMaxContainers));
  }
  return entries_[id] = std::make_shared<ContainerEntry>(id);
}

Result<ContainerTable::EntryPtr> ContainerTable::Rename(const std::string& id,
                                                        const std::string& now) {
  KATA_TRY(CheckId("container id", now));
  EntryPtr entry = KATA_TRY(Find(id));
  if (!entries_.emplace(now, entry).second) {
    return Fail(Code::kAlreadyExists, fmt::format("container \"{}\" already exists", now));
  }
  entries_.erase(id);
  entry->id = now;
  return entry;
}

ContainerTable::EntryPtr ContainerTable::FindAny(const std::string& id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : it->second;
}

Result<ContainerTable::EntryPtr> ContainerTable::Find(const std::string& id) const {
  KATA_TRY(CheckId("container id", id));
  EntryPtr entry = FindAny(id);
  if (!entry || !entry->created) {
    return Fail(Code::kNotFound, fmt::format("no such container: \"{}\"", id));
  }
  return entry;
}

Result<std::shared_ptr<Process>> ContainerTable::FindOutput(const std::string& id,
                                                            const std::string& exec_id) const {
  const EntryPtr entry = KATA_TRY(Find(id));
  if (exec_id.empty() || exec_id == id) return entry->init;
  const auto it = entry->execs.find(exec_id);
  if (it == entry->execs.end()) {
    return Fail(Code::kNotFound,
                fmt::format("no such process: \"{}\" in container \"{}\"", exec_id, id));
  }
  return it->second;
}

Result<std::shared_ptr<Process>> ContainerTable::FindProcess(const std::string& id,
                                                             const std::string& exec_id) const {
  std::shared_ptr<Process> process = KATA_TRY(FindOutput(id, exec_id));
  if (process->collected) {
    return Fail(Code::kNotFound,
                fmt::format("no such process: \"{}\" in container \"{}\"", exec_id, id));
  }
  return process;
}

ContainerTable::Owner ContainerTable::FindPid(pid_t pid) const {
  for (const auto& [id, entry] : entries_) {
    if (entry->init && entry->init->pid() == pid) return {entry, entry->init};
    for (const auto& [exec_id, process] : entry->execs) {
      if (process->pid() == pid && !process->exited()) return {entry, process};
    }
  }
  return {};
}

void ContainerTable::Tidy(ContainerEntry& entry) {
  std::erase_if(entry.execs, [](const auto& exec) {
    return exec.second->collected && exec.second->OutputAtEnd();
  });
  const auto lingers = [](const auto& exec) { return exec.second->collected; };
  while (std::ranges::count_if(entry.execs, lingers) > kMaxLingering) {
    entry.execs.erase(std::ranges::find_if(entry.execs, lingers));
  }
}

}  // namespace kata::guest
