// SPDX-License-Identifier: Apache-2.0
//
// oci/parse.h - OCI runtime-spec JSON into the messages of proto/oci.proto, the one form in which
// the project keeps a specification.
//
// Members that the specification does not define are ignored, null counts as absent. What the
// specification defines and the messages cannot carry is returned as a list, so that the caller
// can log it: nothing is dropped silently. Whether the values make sense is oci/validate.h's
// question.
//
// Absent members become the messages' defaults, except where the default would mean something else:
//   linux.devices[].fileMode                 0666
//   linux.resources.devices[].type           "a", every type
//   linux.resources.devices[].major, minor   -1, every number
//
// Basis: OCI runtime-spec 1.2, config.md and config-linux.md.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::oci {

inline constexpr size_t kMaxJsonBytes = 16 << 20;
inline constexpr size_t kMaxJsonDepth = 64;

// A part of the specification that was asked for and is not honoured.
struct Unsupported {
  std::string path;    // such as "process.scheduler"
  std::string reason;  // why, in words for an operator
};

template <class Message>
struct Parsed {
  Message value;
  std::vector<Unsupported> unsupported;
};

// Each takes the JSON text and the name that errors begin with, and fails with kInvalidArgument:
//   config.json: process.user.uid: expected an unsigned number, got "x"
Result<Parsed<Spec>> ParseSpec(std::string_view json, std::string_view name = "config.json");
// A process alone, as containerd sends it for an exec.
Result<Parsed<Process>> ParseProcess(std::string_view json, std::string_view name = "process");
// Resources alone, as containerd sends them for an update.
Result<Parsed<LinuxResources>> ParseResources(std::string_view json,
                                              std::string_view name = "resources");

// Reads and parses `<bundle>/config.json`.
// Errors  kNotFound         the bundle or its config.json does not exist
//         kInvalidArgument  as ParseSpec
Result<Parsed<Spec>> LoadBundle(const std::string& bundle);

}  // namespace kata::oci
