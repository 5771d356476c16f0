// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/upper_disk.h - an overlay's upper layer on a disk of the guest's.
//
// The host's own upper layer is shared: it crosses the boundary at every file. With the driver
// option "io.katacontainers.kata-cpp.upper_of=PATH" of an "overlayfs" storage, `upperdir` begins as
// a copy of that at PATH, and is brought back to it whenever the host is to see the container's
// files. What was changed on the host's side only is then as it was left here; what was put there
// stays. Where nothing is shared, the option is "io.katacontainers.kata-cpp.upper_at=BEGIN:BYTES",
// and host and guest leave the layer for each other on the disk itself, in that area behind its
// file system (upper/area.h); the host does the rest.
//
// A disk that has an upper layer already is one whose machine ended before it was brought back: it
// goes on with that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "proto/agent.pb.h"

namespace kata::guest {

struct UpperDisk {
  std::string upper;        // here
  std::string host;         // the host's, as the guest sees it; empty: it is not shared
  uint64_t area_begin = 0;  // then
  uint64_t area_bytes = 0;
};

// Absent for storages that have none.
// Errors  kInvalidArgument  there is no upperdir beside the option, a path is not absolute, or an
//                           area is none
Result<std::optional<UpperDisk>> UpperDiskOf(const agent::Storage& storage);

// Both take as long as there are files, so they are for a child process; what they return is for
// the log.
//
// Copies the host's, if there is nothing yet. All or nothing.
Result<std::string> FillUpperDisk(const UpperDisk& disk);
// Nobody may write to the overlay meanwhile. After an error the host's is something between, and
// it can be tried again.
Result<std::string> BringUpperBack(const UpperDisk& disk);

}  // namespace kata::guest
