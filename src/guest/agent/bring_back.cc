// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/bring_back.h"

#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "guest/agent/run_in_child.h"

namespace kata::guest {

void BringUppersBack(sys::EventLoop& loop, const StorageTable& table,
                     const ContainerTable::EntryPtr& entry, ContainerEntry::Done done) {
  auto disks = table.UpperDisksOf(entry->mount_points);
  if (disks.empty()) return done({});
  // What is under way need not have seen all.
  if (std::exchange(entry->bringing_back, true)) {
    entry->after_bringing_back.push_back([&loop, &table, entry, done = std::move(done)]() mutable {
      BringUppersBack(loop, table, entry, std::move(done));
    });
    return;
  }
  const auto finish = std::make_shared<ContainerEntry::Done>(std::move(done));
  const auto bring = [&]() -> Result<std::string> {
    std::string told;
    for (const UpperDisk& disk : disks) told = KATA_TRY(BringUpperBack(disk));
    return told;
  };
  const auto begun = RunInChild(loop, bring, [entry, finish](const Result<std::string>& back) {
    if (back) log::Info("upper layer brought back", {{"container", entry->id}, {"files", *back}});
    (*finish)(back ? Result<void>() : std::unexpected(back.error()));
    entry->bringing_back = false;
    for (auto& next : std::exchange(entry->after_bringing_back, {})) next();
  });
  if (begun) return;
  entry->bringing_back = false;
  (*finish)(begun);
}

}  // namespace kata::guest
