// SPDX-License-Identifier: Apache-2.0
//
// host/storage/upper_guard.h - upper layers of overlays in the hands of a guest.
//
// An overlay wants its upper and its work directory on one mount, so what is shown is the directory
// that holds both: a layer's directory of the front end, with the front end's own entries in it. A
// guest that put a symbolic link where "diff" was would have the front end's next mount write
// through it. So the names in that directory are held: each is a mount point in the namespaces of
// this process and of what serves the guest, and there, by whatever path, it can be neither renamed
// nor removed (EBUSY). What lies in upper and work moves freely between them; all other entries are
// covered by something empty and read-only. Elsewhere on the host nobody is hindered.
//
// What holds `upper` and `work` themselves cannot lie over them where they are used. It is on a
// second mount of the directory, which nobody can walk to: its place is covered as well.
//
// The guest can still make new names in the directory, and change the directory's own mode and
// owner; End() takes that back. A guard is held until the guest has ended, however early its
// container does: what serves the guest keeps files open that it has seen.
// Basis: path_resolution and is_local_mountpoint in Linux' fs/namei.c; mount_namespaces(7).
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/storage/upper_trace.h"
#include "sys/fd.h"

namespace kata::storage {

// The two directories of an overlay, absolute paths with the same parent.
struct UpperDirectories {
  std::string upper;
  std::string work;
};

// Not thread-safe.
class UpperGuards {
 public:
  // No container is called so.
  static constexpr const char* kFolder = ".uppers";

  // They are mounted in `mounts`/kFolder, a shared mount of a tmpfs.
  explicit UpperGuards(std::string mounts) : mounts_(std::move(mounts)) {}

  // Shows both directories, writable; returns their paths below `mounts`. The work directory is a
  // new one that is removed by End(). What was added before is as it was.
  //
  // `mount_namespace` is the one that the paths are meant in; -1: this process's.
  // Errors  kNotFound            one of them does not exist, or is no directory
  //         kFailedPrecondition  they are not neighbours, or have a neighbour whose name cannot be
  //                              held, such as a symbolic link
  Result<UpperDirectories> Add(const UpperDirectories& directories, int mount_namespace = -1);

  // What End() goes by, for whoever is to do it after this process was killed.
  std::vector<UpperTrace> Traces() const;

  // Lets go of those whose directory the host has removed.
  void Sweep();

  // Lets go of all, and takes back what the guest did to the directories that are still there.
  // Nothing of it may serve the guest any more; the mounts may have gone already.
  void End();

 private:
  struct Guard {
    UpperTrace trace;
    sys::UniqueFd directory;  // the root of the mount that the guest sees
    sys::UniqueFd hidden;     // that of the second one
    std::string place;        // where it is shown, below `mounts`; empty before that
  };

  Result<void> Begin();
  Result<void> Hide(Guard& guard);
  Result<void> Show(Guard& guard);
  // Lays something empty over an entry of a directory.
  Result<void> Cover(int directory, const std::string& name) const;
  Guard* Find(const Guard& like);
  static UpperDirectories Shown(const Guard& guard);
  void LetGo(const Guard& guard) const;

  std::string mounts_;
  sys::UniqueFd folder_;  // kFolder
  sys::UniqueFd hidden_;  // where the second mounts are, below what covers it
  uint64_t count_ = 0;    // that were shown; no name comes again
  std::list<Guard> guards_;
};

}  // namespace kata::storage
