// SPDX-License-Identifier: Apache-2.0
//
// host/storage/shared_volumes.h - the volumes of a sandbox's containers: what several name is
// mounted once, so that it is one file system in the guest, too.
//
// Locks, unix sockets and fifos are met by inode. A directory that two mounts showed would be two
// file systems to the guest, whose containers would lock, listen and wait past each other.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/storage/source_tree.h"
#include "sys/fd.h"
#include "sys/mount_options.h"

namespace kata::storage {

class SharedVolumes {
 public:
  // They are mounted in `mounts`/kFolder, which is seen at `served`/kFolder by what serves the
  // guest.
  SharedVolumes(std::string mounts, std::string served)
      : mounts_(std::move(mounts)), served_(std::move(served)) {}

  // No container is called so.
  static constexpr const char* kFolder = ".volumes";

  // The process that serves `served` in a mount namespace of its own, as whose root; -1 while it is
  // being started, and what it has seen is not known.
  void ServedBy(pid_t server) { server_ = server; }

  // Returns the volume's path below `mounts`. It is that of a volume added before which is the same
  // file or directory, mounted as that is and with the same mounts below it, with the same ids and
  // propagation. Read-only holds on this side, whatever the guest does, while no container may
  // write to it. The host's later mounts come to it by FollowMounts() alone; nothing goes from it
  // to the host, and nothing of it keeps the host from unmounting what is below its source.
  //
  // Errors  kNotFound       there is nothing at its source
  //         kUnimplemented  ids are to be mapped, which its file system cannot
  Result<std::string> Add(const std::string& container_id, const Volume& volume,
                          int mount_namespace);

  // Makes what is mounted below each volume what the host has below its source now, where the
  // volume's words and the host's mounts let that come to it (not "private"; a shared mount).
  // Returns the names that show something else than before.
  std::vector<std::string> FollowMounts();
  // The mount namespaces that FollowMounts() looks at: descriptors, or -1 for this process's own.
  // Each once.
  std::vector<int> FollowedNamespaces() const;

  // Unmounts what only this container has, newest first; returns the names.
  std::vector<std::string> RemoveContainer(const std::string& container_id);

 private:
  // Two volumes of one identity, and with the same mounts below, are one.
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    std::string handle;  // where there are such: numbers of inodes need not be unique
    bool directory = false;
    bool read_only = false;   // already before the options say so
    unsigned long flags = 0;  // of the options, but for what the guest keeps
    unsigned long cleared = 0;
    uint64_t recursive_set = 0;
    uint64_t recursive_clear = 0;
    std::vector<unsigned long> propagation;
    std::string ids;

    bool operator==(const Identity&) const = default;
  };
  struct Below {
    int id = 0;
    bool told = false;  // it was mounted on a shared mount
  };
  // A mount of the host's below a source, and the one that stands for it.
  struct Mirrored {
    int source_id = 0;
    int id = 0;  // 0: none does
  };
  // How the host has mounted what is at a source, and what is below it where that comes along.
  struct Source {
    std::string access;  // of its own mount, such as "ro "
    std::multiset<std::tuple<std::string, dev_t, std::string>> below;  // where, and what
    std::multiset<std::pair<std::string, std::string>> access_below;   // where, and as what
    std::map<std::string, Below> seen;                                 // by where; the topmost
  };
  struct Mounted {
    Identity identity;
    std::string name;     // below mounts_
    bool locked = false;  // read-only because all of its containers want that
    std::set<std::string> containers;
    std::set<std::string> writers;  // of these
    Source source;
    std::string path;                                // of the source
    std::shared_ptr<sys::UniqueFd> mount_namespace;  // that the path is meant in; null: this one
    bool follows = false;
    std::map<std::string, Mirrored> mirrored = {};  // by where
  };

  static int NamespaceOf(const Mounted& mounted) {
    return mounted.mount_namespace ? mounted.mount_namespace->get() : -1;
  }
  Result<std::shared_ptr<sys::UniqueFd>> KeepNamespace(int mount_namespace) const;
  Result<void> BeginToFollow(Mounted& mounted, const Source& source) const;
  void FollowAll();
  Result<void> Follow(Mounted& mounted);
  Result<int> Mirror(const Mounted& mounted, const std::string& where, int id) const;
  std::string PathOf(const Mounted& mounted) const { return mounts_ + "/" + mounted.name; }
  static Result<Source> LookAt(const std::string& path, bool recursive, int mount_namespace);
  static Result<Identity> Identify(int tree, const Volume& volume,
                                   const sys::MountOptions& options);
  // The one that stands for `volume` already, as writable as it wants; else null.
  Result<Mounted*> Find(const Identity& identity, const Source& source, const Volume& volume,
                        bool read_only);
  Result<Mounted*> Mount(sys::UniqueFd tree, const Volume& volume, sys::MountOptions options,
                         Identity identity);
  // Lets a mount be written to, wherever it is seen.
  Result<void> Unlock(Mounted& mounted) const;
  // The opposite; a file that the guest has open for writing keeps it from that.
  Result<void> Lock(Mounted& mounted) const;
  Result<void> Change(const Mounted& mounted, Result<void> (*change)(int)) const;

  std::string mounts_;
  std::string served_;
  pid_t server_ = 0;
  uint64_t count_ = 0;  // that were mounted; no name comes again
  std::list<Mounted> mounted_;
  std::vector<std::string> changed_;  // for FollowMounts() to tell
};

}  // namespace kata::storage
