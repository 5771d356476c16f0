// SPDX-License-Identifier: Apache-2.0
#include "host/factory/template_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/rollback.h"
#include "sys/files.h"

namespace kata::factory {
namespace {

using nlohmann::json;
using std::chrono::system_clock;

constexpr int kVersion = 1;
constexpr size_t kMaxManifest = 4 << 20;
constexpr char kStateFolder[] = "/state";
constexpr size_t kMostKept = 4;

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kDataLoss, fmt::format("template: {}", what));
}

}  // namespace

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
    for (const json& pair : read.at("memory").at("extents")) {
      info.memory.extents.push_back(
          {pair.at(0).get<uint64_t>() * kBlock, pair.at(1).get<uint64_t>()});
    }
  } catch (const json::exception&) {
    return Damaged("its manifest cannot be read");
  }
  if (info.memory_mib > kMaxMemoryMib || info.state_bytes > kMaxState) {
    return Damaged("sizes beyond all bounds");
  }
  if (!IsInPlace(info.memory, uint64_t{info.memory_mib} << 20)) {
    return Damaged("extents out of place");
  }
  return info;
}

std::string TemplateStore::NameOf(const std::string& key) {
  return fmt::format("{:016x}", Checksum(key));
}

Result<TemplateInfo> TemplateStore::ReadInfo(const std::string& name) const {
  const std::string text =
      KATA_TRY(sys::ReadFile(folder_.Path(name) + "/manifest.json", kMaxManifest));
  auto info = KATA_TRY(ParseManifest(text));
  if (NameOf(info.key) != name) return Damaged("its key is another's");
  info.name = name;
  return info;
}

Result<Template> TemplateStore::Open(const std::string& key) const {
  const std::string name = NameOf(key);
  const std::string path = folder_.Path(name);
  if (!sys::Exists(path)) return Fail(Code::kNotFound, "there is no template");
  KATA_TRY(folder_.CheckOwner());
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
  folder_.NoteUse(name);
  return opened;
}

Result<std::vector<TemplateInfo>> TemplateStore::List() const {
  std::vector<TemplateInfo> list;
  for (const std::string& name : folder_.Names()) {
    if (auto info = ReadInfo(name)) list.push_back(*std::move(info));
  }
  return list;
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
  KATA_TRY(folder_.CheckSpace(static_cast<uint64_t>(status.st_blocks) * 512));
  const std::string fresh = KATA_TRY(folder_.MakeFolder(".new-" + info.name));
  Rollback undo;
  undo.Add([&] { LogIfFailed(sys::RemoveTree(fresh)); });
  const sys::UniqueFd memory =
      KATA_TRY(sys::Open(fresh + "/memory", O_RDWR | O_CREAT | O_EXCL, 0400));
  info.memory = KATA_TRY(SaveMemory(content.memory, memory.get()));
  info.state_bytes = BytesOf(state);
  info.state_checksum = ChecksumOf(state);
  KATA_TRY(WriteState(state, fresh + kStateFolder));
  KATA_TRY(sys::WriteFile(fresh + "/manifest.json", FormatManifest(info), 0400));
  KATA_TRY(folder_.Publish(fresh, info.name, false));
  undo.Release();
  return info;
}

// With the lock: what a killed builder or remover left, and all but the last used templates.
void TemplateStore::Prune() const {
  folder_.RemoveLeavings();
  std::vector<std::string> kept = folder_.Names();
  while (kept.size() >= kMostKept) {
    LogIfFailed(Remove(kept.back()));
    kept.pop_back();
  }
}

}  // namespace kata::factory
