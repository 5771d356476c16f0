// SPDX-License-Identifier: Apache-2.0
//
// upper/area.h - where host and guest leave an upper layer for each other, on the disk that has it.
//
//   begin          what the host has (HostState); the host writes it, the guest reads it
//   + 1 block      what there is (StreamState); written when the stream is whole
//   + 2 blocks     the stream (pack.h)
//
// The file system on the disk ends before the area begins. The two take turns: the guest writes
// before it answers a call, the host reads after that; only a guest that is hostile, or was given
// up on, writes while the host reads. The host believes nothing of what it reads.
#pragma once

#include <time.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "proto/upper.pb.h"
#include "upper/pack.h"
#include "upper/stream.h"
#include "upper/unpack.h"

namespace kata::upper {

// A part of a disk, of three blocks at least.
struct Area {
  int fd = -1;
  uint64_t begin = 0;  // a multiple of kBlock
  uint64_t bytes = 0;
};

// For a file system of that size: all that it can hold, with what the stream adds.
uint64_t AreaBytesFor(uint64_t file_system);

// The generation that the host has; 0: none.
Result<uint64_t> ReadHostGeneration(const Area& area);
Result<void> WriteHostGeneration(const Area& area, uint64_t generation);

// None: there is no stream, or it is not whole.
Result<std::optional<StreamState>> ReadStreamState(const Area& area);

struct Written {
  uint64_t generation = 0;
  PackReport report;
};
// Leaves the layer in the directory `from`. `base` is what the reader has, of which files are kept
// that were not changed after `unchanged_before`; 0: all is written.
// Errors  as Pack
Result<Written> WriteLayer(const Area& area, const std::string& from, uint64_t base,
                           const timespec& unchanged_before);
// The stream of that state.
// Errors  as Unpack
Result<UnpackReport> ReadLayer(const Area& area, const StreamState& state, const std::string& to,
                               const timespec& kept_after);

// A time, by the clock of the file system that the directory is on: what was changed there before
// has no later one, and what is changed from now on no earlier one. Changes the directory's ctime.
Result<timespec> TimeAt(const std::string& directory);

}  // namespace kata::upper
