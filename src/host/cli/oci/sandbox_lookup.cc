// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/sandbox_lookup.h"

#include <dirent.h>

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kata::cli::oci {

Result<sandbox::SandboxRecord> FindRecord(const std::string& id, const std::string& records) {
  if (auto record = sandbox::LoadRecord(id, records)) return record;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(records.c_str()), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    if (entry->d_name[0] == '.') continue;
    auto record = sandbox::LoadRecord(entry->d_name, records);
    if (record && std::ranges::find(record->containers, id) != record->containers.end()) {
      return record;
    }
  }
  return Fail(Code::kNotFound, fmt::format("container \"{}\" does not exist", id));
}

Result<FoundContainer> FindContainer(const std::string& id, const std::string& records) {
  const auto record = KATA_TRY(FindRecord(id, records));
  if (std::ranges::find(record.containers, id) != record.containers.end()) {
    return FoundContainer{.id = id, .shim = record.owner};
  }
  if (record.containers.size() > 1) {
    return Fail(Code::kInvalidArgument,
                fmt::format("sandbox \"{}\" has several containers, name one: {}", id,
                            fmt::join(record.containers, ", ")));
  }
  return FoundContainer{.id = record.containers.empty() ? id : record.containers.front(),
                        .shim = record.owner};
}

}  // namespace kata::cli::oci
