// SPDX-License-Identifier: Apache-2.0
//
// host/plan/saved_container.h - what only the shim knows of a container that is saved: a part of
// its snapshot's manifest, and the small file that a checkpoint's directory has in place of it.
//
// Plain data and its JSON. What is read may come from anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "host/plan/saved_program.h"

namespace kata::sandbox {

struct SavedContainer {
  std::string id;         // in the guest
  std::string root_disk;  // the device's id
  bool terminal = false;
  bool paused = false;                  // by its front end
  uint32_t first_stream = 1;            // of the agent's next client
  std::optional<SavedProgram> program;  // nothing: not known, as earlier versions saved it

  friend bool operator==(const SavedContainer&, const SavedContainer&) = default;
};

std::string Format(const SavedContainer& container);
// Errors  kDataLoss  not such JSON
Result<SavedContainer> ParseSavedContainer(std::string_view text);

// The file of a checkpoint's directory, which front ends carry about, that names the snapshot.
inline constexpr const char* kCheckpointFile = "kata-snapshot.json";
std::string FormatCheckpoint(const std::string& snapshot, const std::string& store);
// The snapshot's id, whose form is checked by whoever opens it.
// Errors  kDataLoss  not such JSON
Result<std::string> ParseCheckpoint(std::string_view text);

}  // namespace kata::sandbox
