// SPDX-License-Identifier: Apache-2.0
#include "host/machine/host_cgroup.h"

#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "sys/cgroups.h"
#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr std::string_view kSlice = ".slice";

// "a-b.slice" lies in "a.slice"; "-.slice" is the top.
Result<std::string> SlicePath(std::string_view slice) {
  if (slice.empty()) slice = "system.slice";
  if (slice == "-.slice") return std::string();
  if (!slice.ends_with(kSlice) || slice.size() == kSlice.size() ||
      slice.find('/') != std::string_view::npos) {
    return Fail(Code::kInvalidArgument, fmt::format("cgroupsPath: \"{}\" is no slice", slice));
  }
  std::string_view name = slice.substr(0, slice.size() - kSlice.size());
  std::string path;
  for (size_t dash = name.find('-');; dash = name.find('-', dash + 1)) {
    path += fmt::format("/{}{}", name.substr(0, dash), kSlice);
    if (dash == std::string_view::npos) return path;
  }
}

Result<std::string> ScopePath(std::string_view text) {
  const size_t first = text.find(':');
  const size_t second = text.find(':', first + 1);
  const std::string_view prefix = text.substr(first + 1, second - first - 1);
  const std::string_view name = text.substr(second + 1);
  std::string path = KATA_TRY(SlicePath(text.substr(0, first)));
  if (name.ends_with(kSlice)) return fmt::format("{}/{}", path, name);
  return prefix.empty() ? fmt::format("{}/{}.scope", path, name)
                        : fmt::format("{}/{}-{}.scope", path, prefix, name);
}

}  // namespace

Result<std::string> HostCgroupPath(std::string_view cgroups_path) {
  if (cgroups_path.empty()) return std::string();
  std::string path =
      std::ranges::count(cgroups_path, ':') == 2 && cgroups_path.find('/') == std::string_view::npos
          ? KATA_TRY(ScopePath(cgroups_path))
          : fmt::format("/{}", cgroups_path);
  std::string clean;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = std::string_view(path).substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return Fail(Code::kInvalidArgument,
                  fmt::format("cgroupsPath \"{}\" leads out of its hierarchy", cgroups_path));
    }
    clean += fmt::format("/{}", part);
  }
  return clean;
}

Result<HostCgroup> HostCgroup::Plan(const std::string& path) {
  HostCgroup cgroup;
  cgroup.path_ = path;
  const std::string own = KATA_TRY(sys::ReadFile("/proc/self/cgroup", 1 << 20));
  for (const sys::CgroupHierarchy& hierarchy : KATA_TRY(sys::ReadCgroupHierarchies())) {
    const auto before = sys::CgroupDirsOf(std::span(&hierarchy, 1), own);
    if (before.empty()) continue;
    std::string directory = sys::CgroupDir(hierarchy, path);
    if (sys::IsFrozen(directory)) {
      return Fail(
          Code::kFailedPrecondition,
          fmt::format("container's cgroup unexpectedly frozen: \"{}\"; thaw it first", directory));
    }
    if (!sys::Exists(directory)) cgroup.ours_.push_back(directory);
    cgroup.places_.push_back({before.front(), std::move(directory), hierarchy.mount_point});
  }
  return cgroup;
}

std::vector<std::string> HostCgroup::before() const {
  std::vector<std::string> directories;
  for (const Place& place : places_) directories.push_back(place.before);
  return directories;
}

Result<void> HostCgroup::Enter(const std::vector<pid_t>& others) {
  entered_ = true;
  for (const sys::CgroupHierarchy& hierarchy : KATA_TRY(sys::ReadCgroupHierarchies())) {
    const std::string directory = sys::CgroupDir(hierarchy, path_);
    if (std::ranges::find(places_, directory, &Place::directory) == places_.end()) continue;
    KATA_TRY(sys::MakeCgroup(hierarchy, path_));
    KATA_TRY(sys::JoinCgroup(directory, ::getpid()));
    for (const pid_t pid : others) (void)sys::JoinCgroup(directory, pid);
  }
  return {};
}

void HostCgroup::Leave() {
  if (!std::exchange(entered_, false)) return;
  for (const Place& place : places_) {
    // Whoever made the one before may have removed it since.
    if (!sys::JoinCgroup(place.before, ::getpid())) {
      LogIfFailed(sys::JoinCgroup(place.top, ::getpid()));
    }
  }
}

}  // namespace kata::sandbox
