// SPDX-License-Identifier: Apache-2.0
//
// host/plan/saved_program.h - what of a container's specification is in its memory, so that whoever
// goes on from there cannot have it otherwise.
//
// Limits, labels, host name, network, environment and files of the host are not among it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

struct SavedProgram {
  std::vector<std::string> args;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<std::string> mounts;  // destinations, in their order

  friend bool operator==(const SavedProgram&, const SavedProgram&) = default;
};

SavedProgram ProgramOf(const oci::Spec& spec);

// Whether a container of the specification `wanted` can go on as `saved`.
// Errors  kFailedPrecondition  it asks for something else; the message names both
Result<void> CheckSameProgram(const SavedProgram& saved, const oci::Spec& wanted);

}  // namespace kata::sandbox
