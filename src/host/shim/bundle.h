// SPDX-License-Identifier: Apache-2.0
//
// host/shim/bundle.h - the little that `start` and `delete` need from a bundle.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/annotations.h"

namespace kata::shim {

// Reads only the annotations, so that a large specification costs `start` no time; what is wrong in
// the rest of the file is Create's to say.
//
// Errors  kNotFound         no config.json in `bundle`
//         kInvalidArgument  not JSON, or annotations that contradict each other
Result<oci::PodRole> ReadPodRole(const std::string& bundle);

// The same for the text of a config.json.
Result<oci::PodRole> ParsePodRole(std::string_view json);

// The id of the sandbox that a container with `role` belongs to.
const std::string& SandboxIdOf(const oci::PodRole& role, const std::string& container_id);

// An absolute form of `bundle`; the working directory when it is empty.
Result<std::string> ResolveBundle(const std::string& bundle);

}  // namespace kata::shim
