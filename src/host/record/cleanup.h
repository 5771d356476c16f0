// SPDX-License-Identifier: Apache-2.0
//
// host/record/cleanup.h - removing what a dead sandbox left on the host.
//
// Works from the record alone, after any number of its owners died at any moment, and any number of
// times: what is gone already is success. It removes nothing outside of the places below, whatever
// the record says, but what a guest has made beside an upper layer, and nothing that is still a
// mount of something else.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/record/record.h"

namespace kata::sandbox {

// Where sandboxes make things. A path is removed only strictly below one of its roots.
struct CleanupRoots {
  std::vector<std::string> paths = {"/run/vc", "/run/kata-containers"};
  std::vector<std::string> sockets = {"/run/vc", "/run/kata-containers", "/run/containerd"};
  std::string cgroups = "/sys/fs/cgroup";
  std::string records = kRecordsRoot;
};

// Kills the recorded processes that still run (the shim first, so that it starts nothing anew),
// whatever runs in the recorded cgroups, and hypervisors and virtiofsds that name one of the
// recorded paths on their command line but had not been recorded yet. Loggers get up to a second
// to finish by themselves. Then takes back what was done to interfaces of network namespaces and
// beside upper layers, removes sockets, paths and cgroups, and at last the record.
//
// The calling process is never killed, even if it is recorded. A pid is touched only while its
// start time is the recorded one.
// Blocks until all is done or the deadline has passed.
//
// Errors  kDeadlineExceeded  something did not die; else the first removal that failed. The record
//                            stays, for a later try; everything that could be removed is gone.
Result<void> Cleanup(const SandboxRecord& record, Deadline deadline,
                     const CleanupRoots& roots = {});

// Kills `process` and waits until it has ended.
// Errors  kDeadlineExceeded
Result<void> KillProcess(const ProcessEntry& process, Deadline deadline);

// Waits until `process` has ended by itself.
// Errors  kDeadlineExceeded
Result<void> WaitForEnd(const ProcessEntry& process, Deadline deadline);

// True when `path` is absolute, without "." and ".." components, and lies strictly below `root`.
bool IsBelow(std::string_view path, std::string_view root);

// The mount points at or below `directory`, deepest last, out of the text of a mountinfo file.
std::vector<std::string> MountPointsBelow(std::string_view mountinfo, std::string_view directory);

}  // namespace kata::sandbox
