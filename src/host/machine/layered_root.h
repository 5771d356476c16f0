// SPDX-License-Identifier: Apache-2.0
//
// host/machine/layered_root.h - a container's root file system on its way to being put together in
// the guest.
//
// The host has it mounted and shared all the same: the front end's programs look there, and where
// layers cannot be had, so does the guest.
#pragma once

#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/machine/layer_images.h"
#include "host/plan/root_layers.h"
#include "host/storage/overlay_table.h"
#include "host/storage/upper_watch.h"

namespace kata::sandbox {

class Machine;

// One thread at a time. The destructor ends what Begin() has begun.
class LayeredRoot {
 public:
  LayeredRoot(LayeredRoot&&) = default;
  LayeredRoot& operator=(LayeredRoot&&) = default;
  ~LayeredRoot() { stop_.request_stop(); }

  // Looks for the images while the machine boots. `in_use`: as DirectoriesInUse.
  static LayeredRoot Begin(Machine& machine, const std::string& container_id,
                           storage::OverlayTable overlay, std::vector<std::string> in_use);

  // Waits for that, and puts images and upper directory into the share of the machine, which has
  // booted. From here on the overlays of both sides hear of each other's changes; that of the guest
  // is to be at `mount_point`. Once.
  // Errors  whatever stands against it, in words that end "shared, because ..."
  Result<GuestOverlay> Share(Machine& machine, const std::string& mount_point);
  // The guest's overlay is no longer, or has never been.
  void EndWatch() { watch_.reset(); }

  // After Share().
  const std::string& description() const { return description_; }
  // The layers whose images are to be made.
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  LayeredRoot() = default;
  Result<bool> WritesToShare(Machine& machine) const;
  Result<GuestOverlay> AddToShare(Machine& machine, LayerImages found);
  Result<void> AddUpper(Machine& machine, GuestOverlay& overlay);
  Result<void> Watch(Machine& machine, const std::string& mount_point);

  std::string container_id_;
  storage::OverlayTable overlay_;
  std::vector<std::string> in_use_;
  std::string scratch_;
  std::stop_source stop_;
  std::future<Result<LayerImages>> images_;
  std::string description_;
  std::vector<std::string> missing_;
  std::unique_ptr<storage::UpperWatch> watch_;
};

}  // namespace kata::sandbox
