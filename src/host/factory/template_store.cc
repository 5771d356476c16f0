// SPDX-License-Identifier: Apache-2.0
#include "host/factory/template_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/rollback.h"
#include "sys/files.h"

namespace kata::factory {
namespace {

using nlohmann::json;
using std::chrono::minutes;
using std::chrono::system_clock;

constexpr int kVersion = 1;
constexpr size_t kMaxManifest = 4 << 20;
constexpr size_t kMaxExtents = 1 << 20;
constexpr size_t kMaxState = 64 << 20;
constexpr size_t kMaxStateFiles = 16;
constexpr char kStateFolder[] = "/state";
constexpr uint32_t kMaxMemoryMib = 16 << 20;
constexpr size_t kMostKept = 4;
constexpr auto kFailureHolds = minutes(10);
constexpr size_t kMaxReason = 64 << 10;
const std::string kFailed = ".failed-";
constexpr uint64_t kSpareBytes = 64 << 20;  // what a build leaves free on the disk
constexpr auto kLockPause = std::chrono::milliseconds(50);

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kDataLoss, fmt::format("template: {}", what));
}

// Names of templates, without what is hidden.
std::vector<std::string> Names(const std::string& root) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(root.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) names.emplace_back(entry->d_name);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  return names;
}

uint64_t BytesOf(const StateFiles& files) {
  uint64_t bytes = 0;
  for (const auto& [name, content] : files) bytes += content.size();
  return bytes;
}

uint64_t ChecksumOf(const StateFiles& files) {
  std::string all;
  for (const auto& [name, content] : files) all.append(name).append(1, '\0').append(content);
  return Checksum(all);
}

bool IsHidden(const std::string& name) { return name.starts_with('.'); }

struct timespec UsedAt(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  return status.st_mtim;
}

// Whether a failure is to hold still.
bool IsFresh(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return false;
  return system_clock::now() - system_clock::from_time_t(status.st_mtim.tv_sec) < kFailureHolds;
}

Result<void> CheckSpace(const std::string& root, uint64_t needed) {
  struct statvfs space{};
  if (::statvfs(root.c_str(), &space) != 0) return FailErrno("statvfs", root);
  const uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  if (free >= needed + kSpareBytes) return {};
  return Fail(Code::kResourceExhausted,
              fmt::format("no space for a template in \"{}\": {} MiB are free, {} are needed; free "
                          "some, or set template_path in configuration.toml",
                          root, free >> 20, (needed + kSpareBytes) >> 20));
}

}  // namespace

Result<StateFiles> ReadState(const std::string& folder) {
  const std::vector<std::string> names = Names(folder);
  if (names.empty()) {
    return Fail(Code::kNotFound, fmt::format("no saved state in \"{}\"", folder));
  }
  if (names.size() > kMaxStateFiles) {
    return Fail(Code::kOutOfRange,
                fmt::format("{} files of a saved state in \"{}\"; {} are the most", names.size(),
                            folder, kMaxStateFiles));
  }
  StateFiles files;
  for (const std::string& name : names) {
    files[name] = KATA_TRY(sys::ReadFile(folder + "/" + name, kMaxState));
  }
  return files;
}

Result<void> WriteState(const StateFiles& files, const std::string& folder) {
  KATA_TRY(sys::MakeDirs(folder, 0700));
  for (const auto& [name, content] : files) {
    KATA_TRY(sys::WriteFile(folder + "/" + name, content, 0600));
  }
  return {};
}

std::string FormatManifest(const TemplateInfo& info) {
  json extents = json::array();
  for (const Extent& extent : info.memory.extents) {
    extents.push_back({extent.offset / kBlock, extent.length});
  }
  return json{{"version", kVersion},
              {"created", info.created},
              {"memory_mib", info.memory_mib},
              {"stored_bytes", info.memory.bytes()},
              {"key", info.key},
              {"state", {{"bytes", info.state_bytes}, {"checksum", info.state_checksum}}},
              {"memory", {{"checksum", info.memory.checksum}, {"extents", extents}}}}
      .dump();
}

Result<TemplateInfo> ParseManifest(const std::string& text) {
  const json read = json::parse(text, nullptr, false);
  TemplateInfo info;
  // All wrong types end here; the values are checked below.
  try {
    if (read.at("version").get<int>() != kVersion) return Damaged("of another version");
    info.created = read.at("created").get<int64_t>();
    info.memory_mib = read.at("memory_mib").get<uint32_t>();
    info.key = read.at("key").get<std::string>();
    info.state_bytes = read.at("state").at("bytes").get<uint64_t>();
    info.state_checksum = read.at("state").at("checksum").get<uint64_t>();
    info.memory.checksum = read.at("memory").at("checksum").get<uint64_t>();
    const json& extents = read.at("memory").at("extents");
    if (extents.size() > kMaxExtents) return Damaged("too many extents");
    for (const json& pair : extents) {
      info.memory.extents.push_back(
          {pair.at(0).get<uint64_t>() * kBlock, pair.at(1).get<uint64_t>()});
    }
  } catch (const json::exception&) {
    return Damaged("its manifest cannot be read");
  }
  if (info.memory_mib > kMaxMemoryMib || info.state_bytes > kMaxState) {
    return Damaged("sizes beyond all bounds");
  }
  uint64_t end = 0;
  const uint64_t size = uint64_t{info.memory_mib} << 20;
  for (const Extent& extent : info.memory.extents) {
    if (extent.offset < end || extent.offset > size || extent.length > size - extent.offset) {
      return Damaged("extents out of place");
    }
    end = extent.offset + extent.length;
  }
  return info;
}

std::string TemplateStore::NameOf(const std::string& key) {
  return fmt::format("{:016x}", Checksum(key));
}

// Whoever can write a template can run code in every guest that begins with it.
Result<void> TemplateStore::CheckRoot() const {
  struct stat status{};
  if (::stat(root_.c_str(), &status) != 0) return FailErrno("stat", root_);
  if (status.st_uid == ::geteuid() && (status.st_mode & 022) == 0) return {};
  return Fail(Code::kPermissionDenied,
              fmt::format("templates in \"{}\" are not used: others could write them; the "
                          "directory must belong to this user and have mode 0700",
                          root_));
}

Result<TemplateInfo> TemplateStore::ReadInfo(const std::string& name) const {
  const std::string text = KATA_TRY(sys::ReadFile(Path(name) + "/manifest.json", kMaxManifest));
  auto info = KATA_TRY(ParseManifest(text));
  if (NameOf(info.key) != name) return Damaged("its key is another's");
  info.name = name;
  return info;
}

Result<Template> TemplateStore::Open(const std::string& key) const {
  const std::string name = NameOf(key);
  const std::string path = Path(name);
  if (!sys::Exists(path)) return Fail(Code::kNotFound, "there is no template");
  KATA_TRY(CheckRoot());
  Template opened;
  const auto damaged = [](Error error) -> std::unexpected<Error> {
    return Fail(Code::kDataLoss, error.message());
  };
  auto info = ReadInfo(name);
  if (!info) return damaged(std::move(info).error());
  if (info->key != key) return Damaged("its key is another's");
  opened.info = *std::move(info);
  auto state = ReadState(path + kStateFolder);
  if (!state) return damaged(std::move(state).error());
  if (BytesOf(*state) != opened.info.state_bytes ||
      ChecksumOf(*state) != opened.info.state_checksum) {
    return Damaged("its state is not what was saved");
  }
  opened.state = *std::move(state);
  auto memory = sys::Open(path + "/memory", O_RDWR);
  if (!memory) return damaged(std::move(memory).error());
  opened.memory = *std::move(memory);
  struct stat status{};
  if (::fstat(opened.memory.get(), &status) != 0) return FailErrno("stat", "template");
  if (static_cast<uint64_t>(status.st_size) != uint64_t{opened.info.memory_mib} << 20) {
    return Damaged("its memory has another size");
  }
  (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return opened;
}

Result<std::vector<TemplateInfo>> TemplateStore::List() const {
  std::vector<std::pair<int64_t, TemplateInfo>> found;
  for (const std::string& name : Names(root_)) {
    if (IsHidden(name)) continue;
    if (auto info = ReadInfo(name)) found.emplace_back(UsedAt(Path(name)).tv_sec, *std::move(info));
  }
  std::ranges::sort(found, std::greater(), [](const auto& each) { return each.first; });
  std::vector<TemplateInfo> list;
  for (auto& [used, info] : found) list.push_back(std::move(info));
  return list;
}

Result<void> TemplateStore::Remove(const std::string& name) const {
  (void)sys::RemoveFile(Path(kFailed + name));
  // Out of sight first: nobody finds half of it.
  const std::string hidden = fmt::format("{}/.gone-{}-{}", root_, name, ::getpid());
  if (::rename(Path(name).c_str(), hidden.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return FailErrno("rename", Path(name));
  }
  return sys::RemoveTree(hidden);
}

Result<std::optional<sys::UniqueFd>> TemplateStore::TryLock() const {
  KATA_TRY(sys::MakeDirs(root_, 0700));
  KATA_TRY(CheckRoot());
  sys::UniqueFd lock = KATA_TRY(sys::Open(root_ + "/.lock", O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
    return std::optional(std::move(lock));
  }
  if (errno == EWOULDBLOCK) return std::nullopt;
  return FailErrno("lock", root_);
}

Result<sys::UniqueFd> TemplateStore::Lock(Deadline deadline) const {
  for (;;) {
    if (auto lock = KATA_TRY(TryLock())) return *std::move(lock);
    if (deadline.Passed()) return Fail(Code::kDeadlineExceeded, "another template is being built");
    std::this_thread::sleep_for(kLockPause);
  }
}

Result<std::string> TemplateStore::MakeStateFolder() const {
  std::string folder = Path(".new-state");
  KATA_TRY(sys::RemoveTree(folder));
  KATA_TRY(sys::MakeDirs(folder, 0700));
  return folder;
}

Result<TemplateInfo> TemplateStore::Publish(const TemplateContent& content) const {
  TemplateInfo info{.name = NameOf(content.key),
                    .key = content.key,
                    .memory_mib = content.memory_mib,
                    .created = system_clock::to_time_t(system_clock::now())};
  // Before what builders leave is removed.
  const StateFiles state = KATA_TRY(ReadState(content.state_folder));
  Prune();
  struct stat status{};
  if (::fstat(content.memory, &status) != 0) return FailErrno("stat", "a guest's memory");
  KATA_TRY(CheckSpace(root_, static_cast<uint64_t>(status.st_blocks) * 512));
  const std::string fresh = Path(".new-" + info.name);
  KATA_TRY(sys::RemoveTree(fresh));
  Rollback undo;
  undo.Add([&] { LogIfFailed(sys::RemoveTree(fresh)); });
  KATA_TRY(sys::MakeDirs(fresh, 0700));
  const sys::UniqueFd memory =
      KATA_TRY(sys::Open(fresh + "/memory", O_RDWR | O_CREAT | O_EXCL, 0400));
  info.memory = KATA_TRY(SaveMemory(content.memory, memory.get()));
  info.state_bytes = BytesOf(state);
  info.state_checksum = ChecksumOf(state);
  KATA_TRY(WriteState(state, fresh + kStateFolder));
  KATA_TRY(sys::WriteFile(fresh + "/manifest.json", FormatManifest(info), 0400));
  KATA_TRY(Remove(info.name));
  if (::rename(fresh.c_str(), Path(info.name).c_str()) != 0) return FailErrno("rename", fresh);
  undo.Release();
  return info;
}

// With the lock: what a killed builder or remover left, and all but the last used templates.
void TemplateStore::Prune() const {
  std::vector<std::string> kept;
  for (const std::string& name : Names(root_)) {
    if (name.starts_with(".new-") || name.starts_with(".gone-")) {
      LogIfFailed(sys::RemoveTree(Path(name)));
    } else if (!IsHidden(name)) {
      kept.push_back(name);
    }
  }
  std::ranges::sort(kept, std::greater(),
                    [&](const std::string& name) { return UsedAt(Path(name)).tv_sec; });
  while (kept.size() >= kMostKept) {
    LogIfFailed(Remove(kept.back()));
    kept.pop_back();
  }
}

void TemplateStore::NoteFailure(const std::string& key, const std::string& reason) const {
  // Those of configurations that nobody uses any more hold no longer, and nobody else comes by.
  for (const std::string& name : Names(root_)) {
    if (name.starts_with(kFailed) && !IsFresh(Path(name))) (void)sys::RemoveFile(Path(name));
  }
  LogIfFailed(sys::WriteFile(Path(kFailed + NameOf(key)), reason, 0600));
}

bool TemplateStore::FailedLately(const std::string& key) const {
  return IsFresh(Path(kFailed + NameOf(key)));
}

std::vector<std::string> TemplateStore::Failures() const {
  std::vector<std::string> reasons;
  for (const std::string& name : Names(root_)) {
    if (!name.starts_with(kFailed) || !IsFresh(Path(name))) continue;
    reasons.push_back(sys::ReadFile(Path(name), kMaxReason).value_or(""));
  }
  return reasons;
}

}  // namespace kata::factory
