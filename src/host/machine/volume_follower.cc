// SPDX-License-Identifier: Apache-2.0
#include "host/machine/volume_follower.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "host/machine/volume_copy.h"
#include "host/plan/copy_update.h"
#include "sys/mount_options.h"

namespace kata::sandbox {
namespace {

// Until an update that has failed is tried again.
constexpr int kRetryMillis = 5000;
constexpr uint32_t kChanges =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR;

// The directory that a volume's link leads to; empty where it is no such volume.
std::string DataOf(int tree) {
  std::array<char, NAME_MAX + 1> text{};
  const ssize_t size = ::readlinkat(tree, kDataLink, text.data(), text.size());
  if (size <= 2 || static_cast<size_t>(size) == text.size()) return {};
  std::string target(text.data(), static_cast<size_t>(size));
  if (!target.starts_with("..") || target.find('/') != std::string::npos) return {};
  struct stat status{};
  if (::fstatat(tree, target.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return {};
  return S_ISDIR(status.st_mode) ? target : "";
}

// The files, if they are those of one moment.
Result<std::vector<agent::GuestFile>> ReadWhole(int tree, const std::string& source,
                                                const std::string& path) {
  const std::string data = DataOf(tree);
  auto files = KATA_TRY(ReadFiles(tree, source, path));
  const std::string top = fmt::format("{}/{}", path, data);
  const bool has_data = std::ranges::any_of(
      files, [&](const agent::GuestFile& file) { return file.path == top && S_ISDIR(file.mode); });
  if (data.empty() || !has_data || DataOf(tree) != data) {
    return Fail(Code::kAborted, fmt::format("\"{}\" is being rewritten", source));
  }
  return files;
}

// Rewriting takes some milliseconds.
Result<std::vector<agent::GuestFile>> ReadPatiently(int tree, const std::string& source,
                                                    const std::string& path) {
  constexpr int kTries = 20;
  constexpr auto kPause = std::chrono::milliseconds(10);
  auto files = ReadWhole(tree, source, path);
  for (int i = 0; i < kTries && !files && files.error().code() == Code::kAborted; ++i) {
    std::this_thread::sleep_for(kPause);
    files = ReadWhole(tree, source, path);
  }
  return files;
}

// What the guest has, as far as it has said so: a call that failed may have done its work, and is
// made again.
Result<void> Update(const std::vector<agent::GuestFile>& now, const CopyTarget& target,
                    std::vector<agent::GuestFile>* copied) {
  const auto remove = [&](const std::vector<std::string>& paths) -> Result<void> {
    if (paths.empty()) return {};
    KATA_TRY(target.remove(paths));
    std::erase_if(*copied, [&](const agent::GuestFile& file) {
      return std::ranges::find(paths, file.path) != paths.end();
    });
    return {};
  };
  CopyUpdate update = PlanCopyUpdate(*copied, now);
  KATA_TRY(remove(update.remove_first));
  for (agent::GuestFile& file : update.send) {
    KATA_TRY(target.copy(file));
    const auto known = std::ranges::find(*copied, file.path, &agent::GuestFile::path);
    if (known == copied->end()) {
      copied->push_back(std::move(file));
    } else {
      *known = std::move(file);
    }
  }
  return remove(update.remove_last);
}

}  // namespace

CopyTarget CopiesIn(std::shared_ptr<agent::AgentClient> agent) {
  return {
      .copy = [agent](const agent::GuestFile& file) { return agent->CopyFile(file); },
      .remove =
          [agent](const std::vector<std::string>& paths) { return agent->RemoveCopies(paths); }};
}

std::string VolumeFollower::Watch(const std::string& container_id, const storage::Volume& volume,
                                  int mount_namespace) {
  // What cannot be looked at is an error of who shares it.
  if (volume.ids || !sys::ParseMountOptions(volume.options).read_only()) return {};
  auto path = TryWatch(container_id, volume, mount_namespace);
  if (path) return *path;
  if (path.error().code() != Code::kNotFound) {
    log::Warn("a volume is shared, and its changes make no events in the guest",
              {{"source", volume.source}, {"reason", path.error().message()}});
  }
  return {};
}

Result<std::string> VolumeFollower::TryWatch(const std::string& container_id,
                                             const storage::Volume& volume, int mount_namespace) {
  sys::UniqueFd tree = KATA_TRY(storage::CloneVolume(volume, mount_namespace));
  if (DataOf(tree.get()).empty()) return std::string();
  // A name that does not come again: what one of before leaves is removed when it pleases the
  // thread.
  const auto item = std::make_shared<Volume>(
      Volume{.container_id = container_id,
             .source = volume.source,
             .path = fmt::format("{}{}-{}-{}", agent::AgentClient::kCopies, container_id, ++count_,
                                 storage::BaseName(volume.destination)),
             .tree = std::move(tree),
             .files = {},
             .target = {}});
  item->files = KATA_TRY(ReadPatiently(item->tree.get(), item->source, item->path));
  const MutexLock lock(mutex_);
  KATA_TRY(Begin());
  item->watch = KATA_TRY(inotify_->Watch(item->tree.get(), kChanges));
  watched_.push_back(item);
  return item->path;
}

Result<void> VolumeFollower::Begin() {
  if (inotify_) return {};
  auto inotify = std::make_unique<const sys::Inotify>(KATA_TRY(sys::Inotify::Create()));
  wakeup_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup_) return FailErrno("eventfd");
  stopping_ = false;
  inotify_ = std::move(inotify);
  thread_ = std::thread([this, &events = *inotify_] { Run(events); });
  return {};
}

Result<void> VolumeFollower::Deliver(const std::string& container_id, const CopyTarget& target) {
  Items mine;
  {
    const MutexLock lock(mutex_);
    std::ranges::copy_if(watched_, std::back_inserter(mine),
                         [&](const Item& item) { return item->container_id == container_id; });
  }
  if (mine.empty()) return {};
  for (const Item& item : mine) {
    item->target = target;
    KATA_TRY_WITHIN(item->source, Update(std::exchange(item->files, {}), target, &item->copied));
  }
  const MutexLock lock(mutex_);
  std::erase_if(watched_, [&](const Item& item) { return item->container_id == container_id; });
  for (Items* items : {&followed_, &begun_}) items->insert(items->end(), mine.begin(), mine.end());
  Wake();
  return {};
}

void VolumeFollower::Forget(const std::string& container_id) {
  const MutexLock lock(mutex_);
  Items gone;
  for (Items* items : {&watched_, &followed_}) {
    std::erase_if(*items, [&](const Item& item) {
      const bool mine = item->container_id == container_id;
      if (mine) gone.push_back(item);
      return mine;
    });
  }
  if (gone.empty()) return;
  for (const Item& item : gone) {
    // One directory has one watch, whoever watches it.
    const auto same = [&](const Item& other) { return other->watch == item->watch; };
    if (std::ranges::none_of(watched_, same) && std::ranges::none_of(followed_, same)) {
      inotify_->Forget(item->watch);
    }
  }
  forgotten_.insert(forgotten_.end(), gone.begin(), gone.end());
  Wake();
}

void VolumeFollower::Wake() const {
  const uint64_t one = 1;
  (void)!::write(wakeup_.get(), &one, sizeof one);
}

VolumeFollower::Items VolumeFollower::TakeDue(const sys::Inotify::Events& events) {
  const MutexLock lock(mutex_);
  Items due;
  for (const Item& item : followed_) {
    if (events.lost || item->failed || std::ranges::find(begun_, item) != begun_.end() ||
        std::ranges::binary_search(events.watches, item->watch)) {
      due.push_back(item);
    }
  }
  begun_.clear();
  return due;
}

void VolumeFollower::RemoveForgotten() {
  Items gone;
  {
    const MutexLock lock(mutex_);
    gone.swap(forgotten_);
  }
  for (const Item& item : gone) {
    if (!item->target.remove) continue;
    const auto removed = Update({}, item->target, &item->copied);
    // With its machine the guest forgets all.
    if (!removed && removed.error().code() != Code::kUnavailable) {
      log::Warn("the copy of a volume stays in the guest",
                {{"path", item->path}, {"reason", removed.error().message()}});
    }
  }
}

void VolumeFollower::Run(const sys::Inotify& inotify) {
  bool again = false;
  while (!stopping_) {
    std::array<pollfd, 2> ready = {{{inotify.fd(), POLLIN, 0}, {wakeup_.get(), POLLIN, 0}}};
    (void)sys::RetryOnEintr(
        [&] { return ::poll(ready.data(), ready.size(), again ? kRetryMillis : -1); });
    uint64_t woken = 0;
    (void)!::read(wakeup_.get(), &woken, sizeof woken);
    const auto events = inotify.Take();
    again = false;
    for (const Item& item :
         TakeDue(events.value_or(sys::Inotify::Events{.watches = {}, .lost = true}))) {
      if (stopping_) return;
      FollowOne(*item);
      again |= item->failed;
    }
    RemoveForgotten();
  }
}

void VolumeFollower::FollowOne(Volume& volume) {
  auto now = ReadWhole(volume.tree.get(), volume.source, volume.path);
  // Whoever rewrites it goes on, and is heard.
  if (!now && now.error().code() == Code::kAborted) return;
  const auto updated = now ? Update(*now, volume.target, &volume.copied)
                           : Result<void>(std::unexpected(now.error()));
  const bool gone = !updated && updated.error().code() == Code::kUnavailable;
  if (!updated && !gone && !volume.failed) {
    log::Warn("a volume's change is not in the guest yet",
              {{"source", volume.source}, {"reason", updated.error().message()}});
  }
  volume.failed = !updated && !gone;
}

void VolumeFollower::Stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  Wake();
  thread_.join();
  const MutexLock lock(mutex_);
  for (Items* items : {&watched_, &followed_, &begun_, &forgotten_}) items->clear();
  inotify_.reset();
}

}  // namespace kata::sandbox
