// SPDX-License-Identifier: Apache-2.0
//
// sys/user_namespace.h - user namespaces, and the maps of ids that they are made of.
//
// Basis: user_namespaces(7).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// Which ids outside of a user namespace its own ids are. Without ranges every id is itself.
class IdMap {
 public:
  struct Range {
    uint32_t inside = 0;
    uint32_t outside = 0;
    uint32_t size = 0;
  };

  // Errors  kInvalidArgument  an empty range, or one that exceeds 32 bits
  Result<void> Add(const Range& range);

  // Ids that no range has belong to nobody: 65534.
  uint32_t Outside(uint32_t inside) const;
  // As /proc/<pid>/uid_map takes it.
  std::string Text() const;
  bool empty() const { return ranges_.empty(); }

 private:
  std::vector<Range> ranges_;
};

// A user namespace with these ids and no process in it. Forks and reaps a child for a moment.
// Errors  as the kernel's refusal of a map, such as overlapping ranges; the error names which
Result<UniqueFd> MakeUserNamespace(const IdMap& uids, const IdMap& gids);

}  // namespace kata::sys
