// SPDX-License-Identifier: Apache-2.0
//
// host/machine/root_on_disks.h - a container's root file system that is an overlay on the host, put
// together in a guest that shares no directory with it: each layer's image is a disk, and so is
// what the container writes.
//
// Unlike layered_root.h there is nothing to fall back to. Images that are missing are made first.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/machine/attach_disk.h"
#include "host/machine/layer_images.h"
#include "host/machine/upper_disk_file.h"
#include "host/plan/root_layers.h"
#include "host/snapshot/read.h"
#include "host/storage/overlay_table.h"
#include "host/storage/upper_exchange.h"
#include "sys/fd.h"

namespace kata::sandbox {

class Machine;

// By the ids of the devices that they are behind, for reading.
using Images = std::map<std::string, sys::UniqueFd>;

// One thread at a time. The destructor ends what Begin() has begun, and waits for an image that is
// being made.
class RootOnDisks {
 public:
  RootOnDisks(RootOnDisks&&) = default;
  RootOnDisks& operator=(RootOnDisks&&) = default;
  ~RootOnDisks() { stop_.request_stop(); }

  // Looks for the images, makes those that are missing, and the disk for what the container writes,
  // while the machine boots. `view`: a descriptor of a mount of the overlay that the front end
  // looks at, if it has one.
  static RootOnDisks Begin(Machine& machine, const std::string& container_id,
                           storage::OverlayTable overlay, sys::UniqueFd view);

  // One that is in a guest which goes on from `snapshot`, where `upper_device` was its container's
  // own disk: the new file of that, and all images. Adds what is to be behind the devices to
  // `disks`. Errors  those of making the disk, kDataLoss, of the snapshot
  static Result<RootOnDisks> Restore(const std::string& container_id,
                                     const storage::OverlayTable& overlay, sys::UniqueFd view,
                                     const snapshot::Snapshot& snapshot,
                                     const std::string& upper_device,
                                     std::map<std::string, sys::UniqueFd>* disks);

  using Attach = std::function<Result<AttachedDisk>(sys::UniqueFd file)>;
  // Waits for that, and attaches all of it to the machine, which has booted: layers once for all
  // containers that have them, the container's own disk by `attach`. Once.
  // Errors  those of making images, kUnimplemented, of a guest that cannot have such a root
  Result<GuestOverlay> Deliver(Machine& machine, const Attach& attach);

  // After Deliver().
  const std::string& description() const { return description_; }
  // The layers' devices, and their images.
  std::shared_ptr<const Images> layers() const { return layers_; }
  // The device for what the container writes; empty: it cannot write.
  const std::string& upper_device() const { return upper_device_; }
  // What is to be called whenever the guest has left files for the host, from any thread. Empty
  // where there is no such disk.
  std::function<void()> on_files_back() const;

  // The container is gone from the guest (`removed`: which says that it has let its files go), or
  // was never in it (not `created`). Brings its files to the host, and removes the disk where it is
  // of no use any more.
  void Settle(bool created, bool removed);

 private:
  RootOnDisks() = default;
  // What Begin() looks for.
  struct Found {
    LayerImages images;
    std::optional<UpperDiskFile> disk;
    std::shared_ptr<storage::UpperExchange> exchange;
  };
  static Result<LayerImages> FindOrMake(const std::vector<std::string>& layers,
                                        const config::FactoryConfig& config,
                                        const std::string& scratch, const std::stop_token& stop);
  static Result<void> OpenUpper(const storage::OverlayTable& overlay,
                                const config::RuntimeConfig& config, Found* found);
  Result<void> AttachLayers(Machine& machine, std::vector<LayerImages::Image> images,
                            GuestOverlay* overlay);

  std::string container_id_;
  std::string scratch_;
  std::stop_source stop_;
  std::future<Result<Found>> found_;
  std::string description_;
  std::shared_ptr<Images> layers_ = std::make_shared<Images>();
  std::string upper_device_;
  std::optional<UpperDiskFile> disk_;
  std::shared_ptr<storage::UpperExchange> exchange_;
  std::shared_ptr<sys::UniqueFd> view_;
};

}  // namespace kata::sandbox
