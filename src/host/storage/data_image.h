// SPDX-License-Identifier: Apache-2.0
//
// host/storage/data_image.h - the file that is a disk for what a daemon in a container keeps.
//
// Docker, containerd and the like mount overlays inside of their data directory, which a directory
// that is shared with a guest does not take. They get an ext4 file system in a file of the host:
// sparse, made once, in the directory whose place it takes or beside it, and kept as long as that
// is. The host never mounts it or reads what is in it: a guest wrote that. Basis: mke2fs(8),
// open(2) "O_TMPFILE", fcntl(2) "Open file description locks".
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/root_dir.h"

namespace kata::storage {

struct DataImage {
  std::string directory;  // on the host
  std::string name;       // of the file in it

  std::string Path() const { return directory + "/" + name; }
};

// What a directory holds.
enum class DataContent {
  kNothing,
  kImage,          // the image alone
  kImageAndFiles,  // what the image would hide
  kFiles,
};

// An empty lost+found does not count. `mount_namespace` is the one that the directory is meant in;
// -1: this process's. Errors  kNotFound  there is no such directory
Result<DataContent> LookForImage(const DataImage& image, int mount_namespace);

// What a container's root file system has at a path.
enum class RootPlace { kNothing, kEmptyDirectory, kOther };
// `path` is followed as the container would follow it.
RootPlace LookInRoot(const sys::RootDir& root, const std::string& path);

// Opens the image for writing. Where there is none, it is made, whole or not at all: of `size`
// bytes, or of what its file system has room for, if that is less; its top directory is owned as
// `directory` is. A link in its place is not followed. Takes some ten milliseconds when it is made.
// Errors  kUnimplemented     mke2fs is missing, or the file system cannot have files without a name
//         kResourceExhausted  there is no room
Result<sys::UniqueFd> OpenDataImage(const DataImage& image, int64_t size, int mount_namespace);

// Of one that nobody has written to. One that is not there is fine.
Result<void> RemoveDataImage(const DataImage& image, int mount_namespace);

// Makes the image's file, without a name, in the directory behind the descriptor.
Result<sys::UniqueFd> MakeDataImage(int directory, int64_t size);

// Which images the containers of a sandbox have. For one thread at a time.
class ImageClaims {
 public:
  // The image behind `file` is the sandbox's until its last container has given it up. What is
  // returned is open on it, and the claim's.
  // Errors  kFailedPrecondition  another sandbox has it
  Result<int> Add(const std::string& container_id, sys::UniqueFd file);
  void RemoveContainer(const std::string& container_id);

 private:
  struct Claim {
    dev_t device;
    ino_t inode;
    sys::UniqueFd file;
    std::set<std::string> containers;
  };
  std::vector<Claim> claims_;
};

// Of what is behind the descriptor, for many that read or one that writes, as long as that is open.
// Errors  kFailedPrecondition  another has it
Result<void> ClaimDisk(int fd, bool read_only);

}  // namespace kata::storage
