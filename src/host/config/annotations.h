// SPDX-License-Identifier: Apache-2.0
//
// config/annotations.h - values that a pod may set for itself.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "host/config/load.h"

namespace kata::config {

// Applies the annotations `io.katacontainers.config.{hypervisor,agent,runtime}.<key>`; others are
// not looked at. Keys of the hypervisor must be matched by an expression of enable_annotations,
// paths among them by the file's list of valid paths; keys of agent and runtime are those that the
// schema lets pods set, likewise with enable_annotations where they turn on what grants rights on
// the host and is off. Call once, after Load().
//
// Errors  kInvalidArgument  a key that does not exist or that no pod may set, or a bad value; the
//                           message names the annotation
//         kPermissionDenied  the host's configuration does not allow the annotation or its path
Result<void> ApplyAnnotations(const std::map<std::string, std::string>& annotations,
                              Loaded* loaded);

// Whether a container may have `annotation`, which sets no key: an expression of enable_annotations
// must match `name`.
// Errors  kPermissionDenied  none does; the message says where to add it
Result<void> CheckAllowed(const std::string& annotation, const std::string& name,
                          const Loaded& loaded);

}  // namespace kata::config
