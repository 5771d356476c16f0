// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/read.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "host/hypervisor/memory_file.h"
#include "host/snapshot/files.h"
#include "sys/files.h"

namespace kata::snapshot {
namespace {

// A VMM that maps memory privately opens it for writing.
Result<sys::UniqueFd> OpenFile(const std::string& folder, const std::string& name, uint64_t bytes,
                               int access = O_RDWR) {
  auto file = sys::Open(folder + "/" + name, access | O_NOFOLLOW);
  if (!file) return Fail(Code::kDataLoss, file.error().message());
  if (KATA_TRY(factory::SizeOf(file->get())) == bytes) return file;
  return Fail(Code::kDataLoss, fmt::format("\"{}\" has another size", name));
}

// All of it reads as zero then.
Result<void> Clear(int to, uint64_t size) {
  struct stat status{};
  if (::fstat(to, &status) != 0) return FailErrno("stat", "a disk");
  if (S_ISREG(status.st_mode)) {
    if (::ftruncate(to, 0) != 0 || ::ftruncate(to, static_cast<off_t>(size)) != 0) {
      return FailErrno("truncate", "a disk");
    }
    return {};
  }
  uint64_t range[2] = {0, size};
  if (::ioctl(to, BLKZEROOUT, range) != 0) return FailErrno("clear", "a disk");
  return {};
}

// What reading `what` of the snapshot has ended with.
Result<void> Explained(Result<void> read, const std::string& id, const std::string& what) {
  if (read) return {};
  if (read.error().code() != Code::kDataLoss) {
    return std::unexpected(
        std::move(read).error().Within(fmt::format("{} of snapshot \"{}\"", what, id)));
  }
  return Fail(Code::kDataLoss,
              fmt::format("snapshot \"{}\" is damaged: its {} is not what was saved", id, what));
}

// Memory on its way.
struct Filling {
  sys::UniqueFd from;
  factory::MemoryImage image;
  sys::UniqueFd to;  // none: it is only checked
};

Result<void> Fill(const std::vector<Filling>& parts) {
  for (const Filling& part : parts) {
    KATA_TRY(factory::LoadMemory(part.from.get(), part.image, part.to.get()));
  }
  return {};
}

}  // namespace

Result<Snapshot> Snapshot::Open(const Store& store, const std::string& id) {
  Store::Opened opened = KATA_TRY(store.Open(id));
  Snapshot snapshot(std::move(opened.manifest));
  KATA_TRY_WITHIN(fmt::format("snapshot \"{}\" is damaged", id), snapshot.OpenFiles(opened.path));
  return snapshot;
}

Result<void> Snapshot::OpenFiles(const std::string& folder) {
  auto state = factory::ReadState(folder + "/state");
  if (!state || factory::BytesOf(*state) != manifest_.state_bytes ||
      factory::ChecksumOf(*state) != manifest_.state_checksum) {
    return Fail(Code::kDataLoss, "its state is not what was saved");
  }
  state_ = *std::move(state);
  for (const MemoryFile& part : manifest_.memory) {
    memory_.push_back(
        KATA_TRY(OpenFile(folder, MemoryName(memory_.size()), uint64_t{part.size_mib} << 20)));
  }
  for (const DiskFile& disk : manifest_.disks) {
    disks_.push_back(KATA_TRY(OpenFile(folder, DiskName(disks_.size()), disk.bytes)));
  }
  for (const LayerFile& layer : manifest_.layers) {
    layers_.push_back(KATA_TRY(OpenFile(folder, LayerName(layers_.size()), layer.bytes, O_RDONLY)));
  }
  return {};
}

Result<void> Snapshot::BeginMemory(hypervisor::VmSpec* spec) {
  const hypervisor::MachineShape& machine = manifest_.machine;
  hypervisor::GiveShape(machine, spec);
  // A guest that gives pages back makes holes in its file, which others go on from.
  spec->memory.shared = machine.free_page_reporting;
  std::vector<Filling> parts;
  for (size_t i = 0; i < memory_.size(); ++i) {
    const uint32_t mib = manifest_.memory[i].size_mib;
    Filling part{.from = std::move(memory_[i]), .image = manifest_.memory[i].image, .to = {}};
    sys::UniqueFd file;
    if (spec->memory.shared) {
      part.to = KATA_TRY(hypervisor::MakeMemoryFile(mib));
      file = KATA_TRY(sys::Duplicate(part.to.get()));
    } else {
      file = KATA_TRY(sys::Duplicate(part.from.get()));
    }
    parts.push_back(std::move(part));
    if (i == 0) {
      spec->memory.file = std::move(file);
      continue;
    }
    const hypervisor::ModuleShape& module = machine.modules[i - 1];
    spec->memory.modules.push_back({.slot = module.slot,
                                    .address = module.address,
                                    .size_mib = module.size_mib,
                                    .file = std::move(file)});
  }
  filling_ = std::async(std::launch::async, [parts = std::move(parts)] { return Fill(parts); });
  return {};
}

Result<void> Snapshot::Verify() const {
  for (size_t i = 0; i < memory_.size(); ++i) {
    KATA_TRY(Explained(factory::LoadMemory(memory_[i].get(), manifest_.memory[i].image, -1),
                       manifest_.id, "memory"));
  }
  for (size_t i = 0; i < disks_.size(); ++i) {
    const DiskFile& disk = manifest_.disks[i];
    KATA_TRY(Explained(factory::LoadMemory(disks_[i].get(), disk.image, -1), manifest_.id,
                       fmt::format("disk \"{}\"", disk.id)));
  }
  return {};
}

Result<void> Snapshot::FinishMemory() { return Explained(filling_.get(), manifest_.id, "memory"); }

Result<void> Snapshot::WriteState(const std::string& folder) const {
  return factory::WriteState(state_, folder);
}

Result<uint64_t> Snapshot::SizeOfDisk(const std::string& id) const {
  const auto disk = std::ranges::find(manifest_.disks, id, &DiskFile::id);
  if (disk != manifest_.disks.end()) return disk->bytes;
  return Fail(Code::kNotFound, fmt::format("the snapshot has no disk \"{}\"", id));
}

Result<std::map<std::string, sys::UniqueFd>> Snapshot::Layers() const {
  std::map<std::string, sys::UniqueFd> images;
  for (size_t i = 0; i < layers_.size(); ++i) {
    images.emplace(manifest_.layers[i].id, KATA_TRY(sys::Duplicate(layers_[i].get())));
  }
  return images;
}

Result<void> Snapshot::WriteDisk(const std::string& id, int to) const {
  const auto disk = std::ranges::find(manifest_.disks, id, &DiskFile::id);
  if (disk == manifest_.disks.end()) {
    return Fail(Code::kNotFound, fmt::format("the snapshot has no disk \"{}\"", id));
  }
  const auto index = static_cast<size_t>(disk - manifest_.disks.begin());
  const uint64_t size = KATA_TRY(factory::SizeOf(to));
  if (size < disk->bytes) {
    return Fail(Code::kInvalidArgument,
                fmt::format("disk \"{}\" of the snapshot has {} bytes, and the new one has {}: "
                            "give it one of that size",
                            id, disk->bytes, size));
  }
  const std::string what = fmt::format("disk \"{}\"", id);
  KATA_TRY_WITHIN(what, Clear(to, size));
  return Explained(factory::LoadMemory(disks_[index].get(), disk->image, to), manifest_.id, what);
}

}  // namespace kata::snapshot
