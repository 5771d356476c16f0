// SPDX-License-Identifier: Apache-2.0
//
// host/plan/inherited_flags.h - the mount flags that a bind mount has from what it shows.
//
// A bind mount has the flags of the mount that its source is on, as far as the specification does
// not say otherwise. The share by which the guest sees the source has none, so the guest is told
// them. As with runc, any word about flags takes the others away, but for those of access times,
// which any word about those takes away; in a user namespace what the kernel locks there stays.
// What the host mounts read-only stays so in any case.
// Basis: mount_namespaces(7), "Restrictions"; runc 1.5.
#pragma once

#include "base/result.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// Adds words to the options of `mount`. `of_source` as Source::mount_flags.
// Errors  kPermissionDenied  it asks a locked flag off in a user namespace
Result<void> InheritFlags(unsigned long of_source, bool user_namespace, oci::Mount* mount);

}  // namespace kata::sandbox
