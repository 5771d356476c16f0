// SPDX-License-Identifier: Apache-2.0
//
// config/host_files.h - the files on the host that a VM needs: the VMM, virtiofsd, kernel, initrd.
//
// Where a key is empty, the file is searched, in this order:
//   guest files   what kata-guest-kernel has made for this installation (guest_kernel.h);
//                 ../share/kata-containers beside the program's directory; the folder `guest` of a
//                 build tree; /usr/share, /usr/local/share and /opt/kata/share, each with
//                 kata-containers
//   the VMM       PATH, /usr/bin, /usr/local/bin, /usr/libexec, /opt/kata/bin
//   virtiofsd     /usr/libexec, /usr/lib/qemu,
//                 /usr/local/libexec, /usr/lib, /opt/kata/libexec, PATH
#pragma once

#include <string>

#include "base/result.h"
#include "host/config/load.h"

namespace kata::config {

// Fills the empty ones of path, virtio_fs_daemon, kernel and, without an image, initrd by what is
// found; what is not found stays empty. Load() has done so.
void LocateFiles(const LoadOptions& options, Loaded* loaded);

// That each of them is set and exists, the programs executable. Call before starting a VM, after
// ApplyAnnotations().
// Errors  kNotFound, kPermissionDenied  the message names the file, who asked for it, and a remedy
Result<void> RequireVmm(const Loaded& loaded);
Result<void> RequireVirtiofsd(const Loaded& loaded);
Result<void> RequireKernel(const Loaded& loaded);
Result<void> RequireInitrdOrImage(const Loaded& loaded);
// All four.
Result<void> RequireFiles(const Loaded& loaded);

}  // namespace kata::config
