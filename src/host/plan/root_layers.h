// SPDX-License-Identifier: Apache-2.0
//
// host/plan/root_layers.h - whether a container's root file system can be put together in the
// guest, and what the guest is asked for then.
//
// Of an overlay the guest gets the read-only layers as images of their own, which it reads without
// asking the host, and the upper directory as it is on the host, shared. Its overlay shows what the
// host's does, and leaves in the upper directory what the host's would.
// Deciding only. Basis: Linux Documentation/filesystems/overlayfs.rst.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/config/config.h"
#include "host/storage/overlay_table.h"
#include "host/storage/rootfs.h"
#include "proto/agent.pb.h"
#include "proto/oci.pb.h"

namespace kata::sandbox {

// Many more are read more slowly than they are shared.
inline constexpr size_t kMostLayers = 128;

struct RootSource {
  std::vector<storage::RootfsMount> mounts;  // of the mount list
  std::string directory;                     // where there is none: what the caller has mounted
  bool read_only = false;                    // as the container is to see it
};

using FindOverlay = std::function<Result<storage::OverlayTable>(const std::string& directory)>;

// The overlay that the root is, its directories without links in their paths.
// Errors  kUnimplemented  the host is to put it together; the message says why
Result<storage::OverlayTable> PlanRootLayers(const RootSource& root, const FindOverlay& find);

// Directories of the root that both sides have in use as long as the container runs: those that
// something is mounted in, and the one that its process begins in. Paths as the container sees
// them.
std::vector<std::string> DirectoriesInUse(const oci::Spec& spec);

// An overlay as the guest is to make it.
struct GuestOverlay {
  struct Layer {
    std::string key;
    std::string driver;  // the agent's, for where its image is
    std::string source;  // a path in the guest, or a disk's address
  };
  // A file system that has the upper directory.
  struct Disk {
    std::string driver;  // the agent's, for where it is
    std::string source;  // a path in the guest, or a disk's address
    std::string type;
    std::vector<std::string> options;
    std::string mount_point;
  };
  std::vector<Layer> layers;  // the top one first
  std::optional<Disk> disk;
  std::string upper;  // paths in the guest; empty: none
  std::string work;   // empty: `upper` is not written to
  // The directory that `upper`, on the disk, begins as a copy of and is brought back to; empty: it
  // is nowhere else.
  std::string upper_of;
  // Where nothing is shared, the area of the disk where host and guest leave it for each other
  // (storage::UpperExchange::words); empty: it is not on one.
  std::string upper_at;
};

// Where the disk with a container's upper directory is mounted in the guest.
std::string GuestUpperOf(const std::string& container_id);

// Has the overlay's upper layer be on that disk, with an ext4.
void PutUpperOn(std::string driver, std::string address, const std::string& container_id,
                GuestOverlay* overlay);

// The names of the guest's storage drivers that it takes; one more with an upper directory that the
// guest writes to over virtiofs.
// Errors  kUnimplemented  names what the guest lacks
Result<void> CheckDrivers(const std::vector<std::string>& drivers, bool upper_is_shared);

// Storages that mount the layers, each once for all containers that have it, and the overlay of
// them at `mount_point`.
std::vector<agent::Storage> PlanOverlayStorages(const GuestOverlay& overlay,
                                                const std::string& mount_point);

// Whether the guest could not mount one of those.
bool IsOfOverlay(const Error& error);

// "layers (5 images, 1 made here), upper shared".
std::string DescribeLayers(size_t images, size_t made_here, const GuestOverlay& overlay);

}  // namespace kata::sandbox
