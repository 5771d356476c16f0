// SPDX-License-Identifier: Apache-2.0
//
// host/machine/layered_root.h - a container's root file system on its way to being put together in
// the guest.
//
// The host has it mounted and shared all the same: the front end's programs look there, and where
// layers cannot be had, so does the guest.
#pragma once

#include <functional>
#include <future>
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
#include "host/storage/overlay_table.h"
#include "host/storage/upper_watch.h"
#include "sys/fd.h"

namespace kata::sandbox {

class Machine;

// One thread at a time. The destructor ends what Begin() has begun.
class LayeredRoot {
 public:
  LayeredRoot(LayeredRoot&&) = default;
  LayeredRoot& operator=(LayeredRoot&&) = default;
  ~LayeredRoot() { stop_.request_stop(); }

  // Looks for the images, and makes the disk for what the container writes, while the machine
  // boots. `in_use`: as DirectoriesInUse.
  static LayeredRoot Begin(Machine& machine, const std::string& container_id,
                           storage::OverlayTable overlay, std::vector<std::string> in_use);

  using Attach = std::function<Result<AttachedDisk>(sys::UniqueFd file)>;
  // Waits for that, and puts images and upper directory into the share of the machine, which has
  // booted; a disk is attached to it. From here on the overlays of both sides hear of each other's
  // changes; that of the guest is to be at `mount_point`. Once.
  // Errors  whatever stands against it, in words that end "shared, because ..."
  Result<GuestOverlay> Share(Machine& machine, const std::string& mount_point,
                             const Attach& attach);
  // The guest's overlay is no longer, or has never been.
  void End();
  // The guest's overlay cannot be, because of `reason`: the root is to be shared.
  // Errors  kFailedPrecondition  the container's files are on a disk that an earlier machine has
  //                              left; without them the root would be another one
  Result<void> GiveUp(const Error& reason);
  // Whether a root over `overlay` may be shared, because of `reason`.
  // Errors  as GiveUp
  static Result<void> CheckNothingIsKept(const storage::OverlayTable& overlay, const Error& reason);

  // After Share().
  const std::string& description() const { return description_; }
  // The container's files are on a disk while it runs; the file that this is in.
  const std::optional<UpperDiskFile>& disk() const { return disk_; }
  // What is to be called whenever the guest has brought files back: our view of the root looks
  // anew. Empty where there is no such disk.
  std::function<void()> on_files_back() const;
  // The layers whose images are to be made.
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  LayeredRoot() = default;
  // What Begin() looks for.
  struct Found {
    LayerImages images;
    std::optional<UpperDiskFile> disk;  // none: the upper directory is shared
  };
  static Result<bool> WritesToDirectory(Machine& machine, const std::string& container_id,
                                        const storage::OverlayTable& overlay);
  Result<GuestOverlay> AddToShare(Machine& machine, LayerImages found, const Attach& attach);
  Result<void> AddUpper(Machine& machine, GuestOverlay& overlay);
  Result<void> PutOnDisk(GuestOverlay& overlay, const Attach& attach);
  Result<void> OpenView(Machine& machine);
  Result<void> Watch(Machine& machine, const std::string& mount_point);

  std::string container_id_;
  storage::OverlayTable overlay_;
  std::vector<std::string> in_use_;
  std::string scratch_;
  std::stop_source stop_;
  std::future<Result<Found>> found_;
  std::string description_;
  std::vector<std::string> missing_;
  std::shared_ptr<sys::UniqueFd> view_;  // our own one of the root
  std::optional<UpperDiskFile> disk_;
  std::unique_ptr<storage::UpperWatch> watch_;
};

}  // namespace kata::sandbox
