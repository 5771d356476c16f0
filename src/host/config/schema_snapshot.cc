// SPDX-License-Identifier: Apache-2.0
#include "host/config/schema.h"

#define KATA_SNAPSHOT(member) ([](Config& c) { return &c.snapshot.member; })

namespace kata::config {
namespace {

constexpr int64_t kMostQuotaMib = 1 << 30;

const Key kSnapshotKeys[] = {
    {.table = Table::kSnapshot,
     .name = "path",
     .field = KATA_SNAPSHOT(path),
     .help = "The directory of the snapshots that checkpoints are, root's own. A checkpoint whose "
             "snapshot was removed cannot be restored.",
     .is_path = true},
    {.table = Table::kSnapshot,
     .name = "quota_mb",
     .field = KATA_SNAPSHOT(quota_mb),
     .help = "How much all snapshots may take of the disk. Those that were not used for longest "
             "make room. 0: a tenth of the file system of `path`.",
     .high = kMostQuotaMib,
     .unit = "MiB"},
};

}  // namespace

std::span<const Key> SnapshotKeys() { return kSnapshotKeys; }

}  // namespace kata::config
