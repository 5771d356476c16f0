// SPDX-License-Identifier: Apache-2.0
//
// oci/features.h - what of the runtime specification is implemented, for programs that ask first.
//
// Basis: OCI runtime-spec features.md.
#pragma once

#include <map>
#include <string>

namespace kata::oci {

// JSON. `indent`: spaces a level; -1: all in one line.
std::string FormatFeatures(const std::map<std::string, std::string>& annotations, int indent);

}  // namespace kata::oci
