// SPDX-License-Identifier: Apache-2.0
#include "host/storage/rootfs.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <thread>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/storage/mapped_root.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

// mount(2) copies one page of data; some room is left for what the kernel adds.
constexpr size_t kMaxMountData = 4000;
constexpr std::array<std::string_view, 5> kDiskTypes = {"ext2", "ext3", "ext4", "erofs",
                                                        "squashfs"};

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

size_t TotalLength(const std::vector<std::string>& words) {
  size_t total = 0;
  for (const std::string& word : words) total += word.size() + 1;
  return total;
}

bool HasPaths(std::string_view option) {
  return option.starts_with("lowerdir=") || option.starts_with("upperdir=") ||
         option.starts_with("workdir=");
}

bool HasLowers(std::string_view option) { return option.starts_with("lowerdir="); }

void ShortenToCommonParent(std::string& common, std::string_view path) {
  size_t n = 0;
  while (n < common.size() && n < path.size() && common[n] == path[n]) ++n;
  common.resize(n);
}

// Cuts the common parent of all paths in those options that `chosen` names.
RelativeOverlay MakeRelative(const std::vector<std::string>& options,
                             bool (*chosen)(std::string_view)) {
  RelativeOverlay relative;
  bool first = true;
  for (const std::string& option : options) {
    if (!chosen(option)) continue;
    for (const std::string_view path :
         Split(std::string_view(option).substr(option.find('=') + 1), ':')) {
      if (std::exchange(first, false)) {
        relative.directory = path;
      } else {
        ShortenToCommonParent(relative.directory, path);
      }
    }
  }
  const size_t slash = relative.directory.rfind('/');
  relative.directory.resize(slash == std::string::npos ? 0 : slash);
  if (relative.directory.empty()) {
    relative.options = options;
    return relative;
  }
  const size_t skip = relative.directory.size() + 1;
  for (const std::string& option : options) {
    if (!chosen(option)) {
      relative.options.push_back(option);
      continue;
    }
    const size_t equals = option.find('=');
    std::string shorter = option.substr(0, equals + 1);
    for (const std::string_view path : Split(std::string_view(option).substr(equals + 1), ':')) {
      if (shorter.back() != '=') shorter += ':';
      shorter += path.substr(skip);
    }
    relative.options.push_back(std::move(shorter));
  }
  return relative;
}

// The working directory belongs to a thread's file-system state, so the mount runs on a thread of
// its own that has left the process's.
Result<void> MountIn(const std::string& directory, const RootfsMount& mount,
                     const std::string& target) {
  Result<void> result;
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0) {
      result = FailErrno("unshare");
    } else if (::chdir(directory.c_str()) != 0) {
      result = FailErrno("chdir", directory);
    } else {
      result = sys::Mount(mount.source, target, mount.type, sys::ParseMountOptions(mount.options));
    }
  }).join();
  return result;
}

Result<void> MountPlain(const RootfsMount& mount, const std::string& target) {
  const sys::MountOptions options = sys::ParseMountOptions(mount.options);
  if (mount.type == "bind" || options.bind()) {
    return sys::BindMount(mount.source, target, options);
  }
  if (std::ranges::find(mount.options, "loop") != mount.options.end()) {
    return Fail(
        Code::kUnimplemented,
        fmt::format("\"{}\" is a file with a file system of type {}: such a file can only be "
                    "the whole root, as a disk of the VM, of type ext4, erofs or squashfs, and "
                    "without disable_block_device_use",
                    mount.source, mount.type));
  }
  if (mount.type == "overlay" && TotalLength(mount.options) > kMaxMountData) {
    const RelativeOverlay relative = MakeOverlayRelative(mount.options);
    if (TotalLength(relative.options) > kMaxMountData) {
      return Fail(Code::kResourceExhausted,
                  fmt::format("mount overlay: {} bytes of layer paths do not fit into one mount; "
                              "use a snapshotter with shorter paths or an image with fewer layers",
                              TotalLength(relative.options)));
    }
    return MountIn(relative.directory, {mount.type, mount.source, relative.options}, target);
  }
  return sys::Mount(mount.source, target, mount.type, options);
}

Result<void> MountOne(RootfsMount mount, const std::string& target) {
  const auto ids = KATA_TRY(TakeIdMapping(&mount));
  if (!ids) return MountPlain(mount, target);
  return MountMapped(std::move(mount), *ids, target,
                     [&target](const RootfsMount& plain, const std::string& directory) {
                       return directory.empty() ? MountPlain(plain, target)
                                                : MountIn(directory, plain, target);
                     });
}

}  // namespace

bool IsDiskType(std::string_view type) {
  return std::ranges::find(kDiskTypes, type) != kDiskTypes.end();
}

bool IsLoop(std::string_view option) { return option == "loop" || option.starts_with("loop="); }

RelativeOverlay MakeOverlayRelative(const std::vector<std::string>& options) {
  RelativeOverlay relative = MakeRelative(options, HasPaths);
  if (relative.directory.empty()) relative = MakeRelative(options, HasLowers);
  return relative;
}

Result<void> MountRootfs(const std::vector<RootfsMount>& mounts, const std::string& target) {
  Rollback undo;
  for (const RootfsMount& mount : mounts) {
    KATA_TRY_WITHIN("root file system", MountOne(mount, target));
    undo.Add([&target] { ::umount2(target.c_str(), MNT_DETACH); });
  }
  undo.Release();
  return {};
}

}  // namespace kata::storage
