// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/storage/loop.h"

#include <vector>

#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/loop_device.h"
#include "sys/mount_options.h"

namespace kata::guest {
namespace {

// Most images have no more layers.
constexpr int kReadyLoops = 4;

}  // namespace

bool HasLoopDriver() {
  return sys::MakeLoopDevices(kReadyLoops) && sys::FsContext::Open("erofs").has_value();
}

Result<void> MountLoop(const agent::Storage& storage, const std::string& point) {
  const std::vector<std::string> options(storage.options().begin(), storage.options().end());
  const bool read_only = sys::ParseMountOptions(options).read_only();
  // Held until the file system has it: it goes with its last user.
  const sys::LoopDevice device = KATA_TRY(sys::AttachLoop(storage.source(), read_only));
  KATA_TRY(sys::MakeDirs(point));
  KATA_TRY_WITHIN(storage.source(), sys::MountNew(storage.fstype(), device.path, options, point));
  return {};
}

}  // namespace kata::guest
