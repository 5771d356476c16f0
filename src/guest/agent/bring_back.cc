// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/bring_back.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "guest/agent/run_in_child.h"

namespace kata::guest {
namespace {

// Docker kills a container's processes ten seconds after it has asked them to end.
constexpr std::chrono::seconds kHostsPatience{5};

}  // namespace

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

void BringUppersBackAtEnd(sys::EventLoop& loop, const StorageTable& table,
                          const ContainerTable::EntryPtr& entry,
                          std::move_only_function<void()> done) {
  if (entry->removing() || entry->removed) return done();
  const auto once = std::make_shared<std::move_only_function<void()>>(std::move(done));
  const auto answer = [once] {
    if (auto first = std::exchange(*once, nullptr)) first();
  };
  const auto timer = loop.RunAfter(kHostsPatience, answer);
  BringUppersBack(loop, table, entry, [&loop, answer, timer, entry](const Result<void>& back) {
    if (!back) {
      log::Warn("files stay in the guest until the container is removed",
                {{"container", entry->id}, {"error", back.error().message()}});
    }
    loop.Cancel(timer);
    answer();
  });
}

}  // namespace kata::guest
