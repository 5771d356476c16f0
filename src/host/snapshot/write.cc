// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/write.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>

#include <fmt/format.h>

#include "host/factory/state_files.h"
#include "host/snapshot/files.h"
#include "host/snapshot/own_pages.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::snapshot {
namespace {

using std::chrono::system_clock;

Result<sys::UniqueFd> Create(const std::string& path) {
  return sys::Open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
}

Result<void> Resize(int file, uint32_t size_mib) {
  if (::ftruncate(file, static_cast<off_t>(uint64_t{size_mib} << 20)) == 0) return {};
  return FailErrno("truncate", "a guest's memory");
}

}  // namespace

std::string MemoryName(size_t index) {
  return index == 0 ? "memory" : fmt::format("module{}", index);
}

std::string DiskName(size_t index) { return fmt::format("disk{}", index + 1); }

std::string LayerName(size_t index) { return fmt::format("layer{}", index + 1); }

Result<Writer> Writer::Begin(const Store& store, const std::string& id) {
  return Writer(store, KATA_TRY(store.Begin(id)));
}

Result<void> Writer::CaptureMemory(hypervisor::SavedVm& saved) {
  for (hypervisor::SavedMemory& memory : saved.memory) {
    Part part{.size_mib = memory.size_mib, .shared = memory.shared};
    part.to = KATA_TRY(Create(fresh_.Path(MemoryName(parts_.size()))));
    if (part.shared) {
      part.image = KATA_TRY(factory::SaveMemory(memory.file.get(), part.to.get()));
    } else {
      KATA_TRY(Resize(part.to.get(), part.size_mib));
      part.own = KATA_TRY(CopyOwnPages(saved.vmm, memory.file.get(), part.to.get()));
      part.from = std::move(memory.file);
    }
    parts_.push_back(std::move(part));
  }
  return {};
}

Result<void> Writer::CaptureDisks(hypervisor::SavedVm& saved) {
  for (const hypervisor::DeviceShape& device : saved.shape.devices) {
    const auto disk = saved.disks.find(device.id);
    if (disk == saved.disks.end()) continue;
    const std::string context = fmt::format("disk \"{}\"", device.id);
    const int from = disk->second.get();
    DiskPart part;
    part.to = KATA_TRY(Create(fresh_.Path(DiskName(disks_.size()))));
    part.file.id = device.id;
    part.file.bytes = KATA_TRY_WITHIN(context, factory::SizeOf(from));
    part.cloned = ::ioctl(part.to.get(), FICLONE, from) == 0;
    if (!part.cloned) {
      part.file.image = KATA_TRY_WITHIN(context, factory::SaveMemory(from, part.to.get()));
    }
    disks_.push_back(std::move(part));
  }
  return {};
}

Result<void> Writer::Capture(hypervisor::SavedVm saved) {
  KATA_TRY_WITHIN("copy the guest's memory", CaptureMemory(saved));
  KATA_TRY_WITHIN("copy the guest's disks", CaptureDisks(saved));
  shape_ = std::move(saved.shape);
  return {};
}

// One that was made for a container alone has no name any more, and is small.
Result<void> Writer::AddLayers(const std::map<std::string, sys::UniqueFd>& images) {
  for (const hypervisor::DeviceShape& device : shape_.devices) {
    const auto image = images.find(device.id);
    if (image == images.end()) continue;
    const std::string context = fmt::format("layer \"{}\"", device.id);
    const std::string path = fresh_.Path(LayerName(layers_.size()));
    const int from = image->second.get();
    if (::linkat(AT_FDCWD, sys::DescriptorPath(from).c_str(), AT_FDCWD, path.c_str(),
                 AT_SYMLINK_FOLLOW) != 0) {
      sys::UniqueFd to = KATA_TRY_WITHIN(context, Create(path));
      if (::ioctl(to.get(), FICLONE, from) != 0) {
        KATA_TRY_WITHIN(context, factory::SaveMemory(from, to.get()));
      }
      files_.push_back(std::move(to));
    }
    layers_.push_back({.id = device.id, .bytes = KATA_TRY_WITHIN(context, factory::SizeOf(from))});
  }
  return {};
}

Result<void> Writer::FinishMemory(Manifest* manifest) {
  for (Part& part : parts_) {
    if (!part.shared) {
      KATA_TRY(factory::CopyMemory(part.from.get(), part.to.get(), part.own));
      part.image = KATA_TRY(factory::SaveMemory(part.to.get(), -1));
    }
    manifest->memory.push_back({.size_mib = part.size_mib, .image = std::move(part.image)});
    files_.push_back(std::move(part.to));
  }
  return {};
}

Result<void> Writer::FinishDisks(Manifest* manifest) {
  for (DiskPart& part : disks_) {
    if (part.cloned) part.file.image = KATA_TRY(factory::SaveMemory(part.to.get(), -1));
    manifest->disks.push_back(std::move(part.file));
    files_.push_back(std::move(part.to));
  }
  return {};
}

Result<Manifest> Writer::Publish(Manifest manifest) && {
  manifest.id = fresh_.id();
  manifest.created = system_clock::to_time_t(system_clock::now());
  manifest.machine = shape_;
  manifest.layers = std::move(layers_);
  KATA_TRY_WITHIN("copy the guest's memory", FinishMemory(&manifest));
  KATA_TRY_WITHIN("look through the guest's disks", FinishDisks(&manifest));
  const factory::StateFiles state = KATA_TRY(factory::ReadState(state_folder()));
  manifest.state_bytes = factory::BytesOf(state);
  manifest.state_checksum = factory::ChecksumOf(state);
  for (const auto& [name, content] : state) {
    files_.push_back(KATA_TRY(sys::Open(state_folder() + "/" + name, O_RDONLY)));
  }
  for (const sys::UniqueFd& file : files_) {
    if (::fsync(file.get()) != 0) return FailErrno("fsync", fresh_.Path(""));
  }
  KATA_TRY(store_->Publish(std::move(fresh_), manifest));
  return manifest;
}

}  // namespace kata::snapshot
