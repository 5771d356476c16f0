// SPDX-License-Identifier: Apache-2.0
//
// oci/id_map.h - uidMappings and gidMappings of a specification as the kernel's maps.
#pragma once

#include "base/result.h"
#include "proto/oci.pb.h"
#include "sys/user_namespace.h"

namespace kata::oci {

// Errors  kInvalidArgument  an empty range, or one that exceeds 32 bits
inline Result<sys::IdMap> ToIdMap(
    const google::protobuf::RepeatedPtrField<LinuxIDMapping>& ranges) {
  sys::IdMap map;
  for (const LinuxIDMapping& range : ranges) {
    KATA_TRY(map.Add({range.container_id(), range.host_id(), range.size()}));
  }
  return map;
}

}  // namespace kata::oci
