// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/mount_storages.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "guest/agent/run_in_child.h"

namespace kata::guest {
namespace {

// Storages until one whose upper layer has to be filled first; at most one container's.
size_t CountWithoutFilling(const std::vector<const agent::Storage*>& storages) {
  const auto first = std::ranges::find_if(storages, [](const agent::Storage* storage) {
    const auto disk = UpperDiskOf(*storage);
    return disk && disk->has_value();
  });
  return static_cast<size_t>(first - storages.begin());
}

void GiveToGroups(sys::EventLoop& loop, StorageTable& table, StorageTable::Mounted mounted,
                  WhenMounted done) {
  if (mounted.groups.empty()) return done(std::move(mounted.points));
  const auto finish = std::make_shared<WhenMounted>(std::move(done));
  const auto end = [&table, points = std::move(mounted.points),
                    finish](const Result<std::string>& given) {
    if (given) return (*finish)(points);
    LogIfFailed(table.Release(points));
    (*finish)(std::unexpected(given.error()));
  };
  const auto give = [&]() -> Result<std::string> {
    KATA_TRY(StorageTable::GiveToGroups(mounted.groups));
    return std::string();
  };
  if (const auto forked = RunInChild(loop, give, end); !forked)
    end(std::unexpected(forked.error()));
}

}  // namespace

void MountStorages(sys::EventLoop& loop, StorageTable& table,
                   const std::vector<const agent::Storage*>& storages, WhenMounted done) {
  const size_t count = CountWithoutFilling(storages);
  auto mounted = table.Mount(std::span(storages).first(count));
  if (!mounted) return done(std::unexpected(std::move(mounted).error()));
  if (count == storages.size())
    return GiveToGroups(loop, table, *std::move(mounted), std::move(done));
  const auto finish = std::make_shared<WhenMounted>(std::move(done));
  const auto begun = std::make_shared<StorageTable::Mounted>(*std::move(mounted));
  const auto end = [&loop, &table, begun, finish,
                    rest = std::vector(storages.begin() + static_cast<ptrdiff_t>(count),
                                       storages.end())](const Result<std::string>& filled) {
    auto more = filled ? table.Mount(rest)
                       : Result<StorageTable::Mounted>(std::unexpected(filled.error().Within(
                             fmt::format("storage overlayfs on \"{}\"", rest[0]->mount_point()))));
    if (!more) {
      LogIfFailed(table.Release(begun->points));
      return (*finish)(std::unexpected(more.error()));
    }
    log::Info("upper layer on a disk", {{"filled", *filled}});
    std::ranges::move(more->points, std::back_inserter(begun->points));
    std::ranges::move(more->groups, std::back_inserter(begun->groups));
    GiveToGroups(loop, table, std::move(*begun), std::move(*finish));
  };
  const UpperDisk disk = **UpperDiskOf(*storages[count]);
  const auto fill = [&] { return FillUpperDisk(disk); };
  if (const auto forked = RunInChild(loop, fill, end); !forked)
    end(std::unexpected(forked.error()));
}

}  // namespace kata::guest
