// SPDX-License-Identifier: Apache-2.0
//
// host/machine/mount_namespace.h - the mount namespace that the shim was started in, for programs
// of the host that it runs after it has left it for one of its own, hooks and what builds
// templates, and for what it looks up on the host.
//
// Set once, before there are threads.
#pragma once

#include "base/result.h"

namespace kata::sandbox {

// Keeps the calling process's mount namespace. Without this call programs run in the caller's.
Result<void> RememberMountNamespace();
// That one; -1 before.
int RememberedMountNamespace();

}  // namespace kata::sandbox
