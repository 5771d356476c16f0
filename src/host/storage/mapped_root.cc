// SPDX-License-Identifier: Apache-2.0
#include "host/storage/mapped_root.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <charconv>
#include <ranges>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "base/rollback.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

constexpr std::string_view kUids = "uidmap=";
constexpr std::string_view kGids = "gidmap=";
constexpr std::string_view kLowers = "lowerdir=";

Result<sys::IdMap::Range> ParseRange(std::string_view text) {
  std::vector<uint32_t> numbers;
  bool all = true;
  for (const auto part : std::views::split(text, ':')) {
    const std::string_view word(part);
    const char* const end = word.data() + word.size();
    const auto [stop, status] = std::from_chars(word.data(), end, numbers.emplace_back());
    all = all && status == std::errc() && stop == end;
  }
  if (all && numbers.size() == 3) return sys::IdMap::Range{numbers[0], numbers[1], numbers[2]};
  return Fail(Code::kInvalidArgument, "it is not CONTAINER:HOST:SIZE");
}

Result<sys::IdMap> ParseMap(std::string_view text) {
  sys::IdMap map;
  for (const auto range : std::views::split(text, ',')) {
    const sys::IdMap::Range parsed = KATA_TRY(ParseRange(std::string_view(range)));
    KATA_TRY(map.Add(parsed));
  }
  return map;
}

// A mount of what is at `path` that is nowhere yet.
Result<sys::UniqueFd> CloneMapped(const std::string& path, int user_namespace) {
  sys::UniqueFd tree = KATA_TRY(sys::CloneMount(AT_FDCWD, path, false));
  KATA_TRY_WITHIN(fmt::format("map ids of \"{}\"", path),
                  sys::MapMountIds(tree.get(), user_namespace, false));
  return tree;
}

Result<void> Attach(const sys::UniqueFd& tree, const std::string& place) {
  const sys::UniqueFd at = KATA_TRY(sys::Open(place, O_PATH | O_DIRECTORY));
  return sys::AttachMount(tree.get(), at.get());
}

// Mounts the directories of `option` at "0", "1", … below `target`, with ids mapped, and names them
// so.
Result<void> MapLowers(std::string& option, int user_namespace, const std::string& target) {
  std::string names;
  int number = 0;
  for (const auto path : std::views::split(std::string_view(option).substr(kLowers.size()), ':')) {
    const sys::UniqueFd tree =
        KATA_TRY(CloneMapped(std::string(std::string_view(path)), user_namespace));
    const std::string name = std::to_string(number++);
    KATA_TRY(sys::MakeDirs(fmt::format("{}/{}", target, name)));
    KATA_TRY(Attach(tree, fmt::format("{}/{}", target, name)));
    names += (names.empty() ? "" : ":") + name;
  }
  option = fmt::format("{}{}", kLowers, names);
  return {};
}

// An overlay has its lower directories for itself once it is mounted, so that their places are
// needed until then only. They are at the target, where a killed process leaves nothing of them.
Result<sys::UniqueFd> MakeOverlay(RootfsMount mount, int user_namespace, const std::string& target,
                                  const MountAt& plainly) {
  Rollback undo;
  const auto unmount = [&target] { LogIfFailed(sys::Unmount(target, MNT_DETACH)); };
  KATA_TRY(sys::Mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV));
  undo.Add(unmount);
  for (std::string& option : mount.options) {
    if (option.starts_with(kLowers)) KATA_TRY(MapLowers(option, user_namespace, target));
  }
  KATA_TRY(plainly(mount, target));
  undo.Add(unmount);
  return sys::CloneMount(AT_FDCWD, target, false);
}

Result<sys::UniqueFd> MakeOther(const RootfsMount& mount, int user_namespace,
                                const std::string& target, const MountAt& plainly) {
  Rollback undo;
  KATA_TRY(plainly(mount, ""));
  undo.Add([&target] { LogIfFailed(sys::Unmount(target, MNT_DETACH)); });
  return CloneMapped(target, user_namespace);
}

}  // namespace

Result<std::optional<IdMapping>> TakeIdMapping(RootfsMount* mount) {
  IdMapping ids;
  for (const std::string& word : mount->options) {
    const bool uids = word.starts_with(kUids);
    if (!uids && !word.starts_with(kGids)) continue;
    (uids ? ids.uids : ids.gids) =
        KATA_TRY_WITHIN(fmt::format("mount option \"{}\"", word),
                        ParseMap(std::string_view(word).substr(kUids.size())));
  }
  if (ids.uids.empty() && ids.gids.empty()) return std::nullopt;
  if (ids.uids.empty() || ids.gids.empty()) {
    return Fail(Code::kInvalidArgument, "mount options: uidmap and gidmap belong together");
  }
  std::erase_if(mount->options, [](const std::string& word) {
    return word.starts_with(kUids) || word.starts_with(kGids);
  });
  return ids;
}

Result<void> MountMapped(RootfsMount mount, const IdMapping& ids, const std::string& target,
                         const MountAt& plainly) {
  const sys::UniqueFd users =
      KATA_TRY_WITHIN("map ids", sys::MakeUserNamespace(ids.uids, ids.gids));
  const sys::UniqueFd tree =
      mount.type == "overlay"
          ? KATA_TRY(MakeOverlay(std::move(mount), users.get(), target, plainly))
          : KATA_TRY(MakeOther(mount, users.get(), target, plainly));
  return Attach(tree, target);
}

}  // namespace kata::storage
