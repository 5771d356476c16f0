// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/sandbox_lookup.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "host/record/records.h"

namespace kata::cli::oci {

namespace {

using sandbox::AllRecords;
using sandbox::SandboxRecord;

// Fewer letters say nothing.
constexpr size_t kLeastBeginning = 4;

bool Has(const SandboxRecord& record, const std::string& id) {
  return std::ranges::find(record.containers, id) != record.containers.end();
}

struct Named {
  std::string id;
  SandboxRecord record;
};

// Containers that begin so; of a sandbox that has its first container's name, the container.
std::vector<Named> Beginning(const std::string& beginning, const std::string& records) {
  std::vector<Named> found;
  if (beginning.size() < kLeastBeginning) return found;
  for (const SandboxRecord& record : AllRecords(records)) {
    for (const std::string& id : record.containers) {
      if (id.starts_with(beginning)) found.push_back({id, record});
    }
    if (record.id.starts_with(beginning) && !Has(record, record.id)) {
      found.push_back({record.id, record});
    }
  }
  return found;
}

Result<FoundContainer> ContainerOf(const SandboxRecord& record, const std::string& id) {
  if (Has(record, id)) return FoundContainer{.id = id, .shim = record.owner};
  if (record.containers.size() > 1) {
    return Fail(Code::kInvalidArgument,
                fmt::format("sandbox \"{}\" has several containers, name one: {}", id,
                            fmt::join(record.containers, ", ")));
  }
  return FoundContainer{.id = record.containers.empty() ? id : record.containers.front(),
                        .shim = record.owner};
}

}  // namespace

Result<SandboxRecord> FindRecord(const std::string& id, const std::string& records) {
  if (auto record = sandbox::LoadRecord(id, records)) return record;
  for (SandboxRecord& record : AllRecords(records)) {
    if (Has(record, id)) return std::move(record);
  }
  return Fail(Code::kNotFound, fmt::format("container \"{}\" does not exist", id));
}

Result<FoundContainer> FindContainer(const std::string& id, const std::string& records) {
  const auto record = FindRecord(id, records);
  if (record) return ContainerOf(*record, id);
  const std::vector<Named> named = Beginning(id, records);
  if (named.empty()) return std::unexpected(record.error());
  if (named.size() == 1) return ContainerOf(named.front().record, named.front().id);
  std::vector<std::string> ids;
  for (const Named& each : named) ids.push_back(each.id);
  return Fail(Code::kInvalidArgument,
              fmt::format("several containers begin with \"{}\": {}", id, fmt::join(ids, ", ")));
}

}  // namespace kata::cli::oci
