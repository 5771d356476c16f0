// SPDX-License-Identifier: Apache-2.0
#include "sys/cgroups.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sys {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// Options of the file system that are no controllers.
bool IsController(std::string_view word) {
  constexpr std::string_view kOthers[] = {
      "rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "none"};
  return std::ranges::find(kOthers, word) == std::end(kOthers) &&
         !word.starts_with("release_agent=");
}

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

// Version 1 refuses processes in a cpuset without processors or nodes, which is how one is born.
Result<void> FillCpuset(const std::string& directory, const std::string& parent) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    const auto own = ReadFile(directory + file, 64 << 10);
    if (!own || own->find_first_not_of('\n') != std::string::npos) continue;
    const std::string value = KATA_TRY(ReadFile(parent + file, 64 << 10));
    KATA_TRY(WriteControl(directory + file, value));
  }
  return {};
}

// One at a time, and as far as it goes: a parent may hold processes, which forbids some.
void PassControllersOn(const std::string& directory) {
  const auto controllers = ReadFile(directory + "/cgroup.controllers", 4096);
  if (!controllers) return;
  std::string text = *controllers;
  std::ranges::replace(text, '\n', ' ');
  for (const std::string_view name : Split(text, ' ')) {
    (void)WriteControl(directory + "/cgroup.subtree_control", fmt::format("+{}", name));
  }
}

// A mount that a later one covers is in the list, too, but nobody gets to it.
bool IsCovered(const MountInfo& mount) {
  struct statfs there{};
  if (::statfs(mount.mount_point.c_str(), &there) != 0) return true;
  return there.f_type != (mount.type == "cgroup" ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC);
}

}  // namespace

std::vector<CgroupHierarchy> FindCgroupHierarchies(const std::vector<MountInfo>& mounts) {
  std::vector<CgroupHierarchy> found;
  for (const MountInfo& mount : mounts) {
    CgroupHierarchy hierarchy{
        .mount_point = mount.mount_point, .root = mount.root, .controllers = {}};
    if (mount.type == "cgroup") {
      for (const std::string_view word : Split(mount.super_options, ',')) {
        if (IsController(word)) hierarchy.controllers.emplace_back(word);
      }
      if (hierarchy.controllers.empty()) continue;
    } else if (mount.type != "cgroup2") {
      continue;
    }
    const bool known = std::ranges::any_of(found, [&](const CgroupHierarchy& other) {
      return other.controllers == hierarchy.controllers;
    });
    if (!known) found.push_back(std::move(hierarchy));
  }
  return found;
}

Result<std::vector<CgroupHierarchy>> ReadCgroupHierarchies() {
  std::vector<MountInfo> mounts = KATA_TRY(ReadMountInfo());
  std::erase_if(mounts, IsCovered);
  return FindCgroupHierarchies(mounts);
}

std::vector<std::string> CgroupDirsOf(std::span<const CgroupHierarchy> hierarchies,
                                      std::string_view proc_cgroup) {
  std::vector<std::string> directories;
  for (const std::string_view line : Split(proc_cgroup, '\n')) {
    // <number>:<controllers>:<path>, where the path may have colons.
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const auto controllers = Split(line.substr(first + 1, second - first - 1), ',');
    std::string_view path = line.substr(second + 1);
    const auto hierarchy = std::ranges::find_if(hierarchies, [&](const CgroupHierarchy& each) {
      return controllers.empty() ? each.unified() : Contains(each.controllers, controllers.front());
    });
    if (hierarchy == hierarchies.end()) continue;
    if (hierarchy->root != "/") {
      if (!path.starts_with(hierarchy->root)) continue;
      path.remove_prefix(hierarchy->root.size());
      if (!path.empty() && path.front() != '/') continue;
    }
    directories.push_back(CgroupDir(*hierarchy, path));
  }
  return directories;
}

Result<std::vector<std::string>> ReadCgroupDirs(pid_t pid) {
  const auto hierarchies = KATA_TRY(ReadCgroupHierarchies());
  const std::string text = KATA_TRY(ReadFile(fmt::format("/proc/{}/cgroup", pid), 1 << 20));
  return CgroupDirsOf(hierarchies, text);
}

std::string CgroupDir(const CgroupHierarchy& hierarchy, std::string_view path) {
  std::string directory = hierarchy.mount_point;
  for (const std::string_view part : Split(path, '/')) directory += fmt::format("/{}", part);
  return directory;
}

Result<void> MakeCgroup(const CgroupHierarchy& hierarchy, std::string_view path) {
  std::string directory = hierarchy.mount_point;
  for (const std::string_view part : Split(path, '/')) {
    if (part == "." || part == "..") {
      return Fail(Code::kInvalidArgument, fmt::format("cgroup \"{}\": no dots in the path", path));
    }
    const std::string parent = directory;
    directory += fmt::format("/{}", part);
    if (hierarchy.unified()) PassControllersOn(parent);
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return FailErrno("mkdir", directory);
    }
    if (Contains(hierarchy.controllers, "cpuset")) KATA_TRY(FillCpuset(directory, parent));
  }
  return {};
}

bool IsFrozen(const std::string& directory) {
  if (const auto state = ReadFile(directory + "/freezer.state", 64)) {
    return !state->starts_with("THAWED");
  }
  const auto events = ReadFile(directory + "/cgroup.events", 4096);
  return events && events->find("frozen 1") != std::string::npos;
}

Result<void> JoinCgroup(const std::string& directory, pid_t pid) {
  return WriteControl(directory + "/cgroup.procs", std::to_string(pid));
}

}  // namespace kata::sys
