// SPDX-License-Identifier: Apache-2.0
#include "host/record/records.h"

#include <algorithm>
#include <utility>

#include "sys/files.h"

namespace kata::sandbox {

std::vector<SandboxRecord> AllRecords(const std::string& root) {
  std::vector<std::string> names = sys::ListDirectory(root);
  std::ranges::sort(names);
  std::vector<SandboxRecord> all;
  for (const std::string& name : names) {
    if (name.starts_with('.')) continue;
    if (auto record = LoadRecord(name, root)) all.push_back(*std::move(record));
  }
  return all;
}

bool IsServed(const SandboxRecord& record) {
  return record.owner.starts_with('/') &&
         std::ranges::any_of(record.processes, [](const ProcessEntry& process) {
           return process.role == ProcessRole::kShim && IsAlive(process);
         });
}

}  // namespace kata::sandbox
