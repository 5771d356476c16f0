// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/setup_record.h"

#include <sys/file.h>
#include <unistd.h>

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/setup/config_file.h"
#include "sys/files.h"

namespace kata::cli::setup {
namespace {

using RecordJson = nlohmann::ordered_json;

constexpr std::string_view kRecordDir = "/var/lib/kata-containers/setup";

RecordJson TextOrNull(const std::optional<std::string>& text) {
  return text ? RecordJson(*text) : RecordJson();
}

std::optional<std::string> OptionalText(const RecordJson& json) {
  if (json.is_null()) return std::nullopt;
  return json.get<std::string>();
}

}  // namespace

std::string SetupRecords::PathOf(const std::string& front_end) const {
  return fmt::format("{}/{}.json", directory_, front_end);
}

SetupRecords SetupRecords::OpenToRead(const std::string& root) {
  return SetupRecords(root + std::string(kRecordDir));
}

Result<SetupRecords> SetupRecords::Open(const std::string& root) {
  SetupRecords records(root + std::string(kRecordDir));
  KATA_TRY(sys::MakeDirs(records.directory_));
  records.lock_ = KATA_TRY(sys::Open(records.directory_, O_RDONLY | O_DIRECTORY));
  const int fd = records.lock_.get();
  if (sys::RetryOnEintr([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) != 0) {
    return Fail(Code::kUnavailable,
                fmt::format("lock \"{}\": another kata-runtime setup is at work; wait for its end",
                            records.directory_));
  }
  return records;
}

SetupRecords::~SetupRecords() {
  if (!lock_) return;
  // Each fails, as it should, where something is in it.
  if (::rmdir(directory_.c_str()) != 0) return;
  ::rmdir(directory_.substr(0, directory_.rfind('/')).c_str());
}

Result<std::optional<SetupRecord>> SetupRecords::Read(const std::string& front_end) const {
  const std::string path = PathOf(front_end);
  if (!sys::Exists(path)) return std::nullopt;
  const std::string text = KATA_TRY(sys::ReadFile(path));
  try {
    const RecordJson json = RecordJson::parse(text);
    return SetupRecord{.path = json.at("path"),
                       .name = json.at("name"),
                       .is_default = json.at("default"),
                       .before = OptionalText(json.at("before")),
                       .written = json.at("written"),
                       .interim = OptionalText(json.at("interim")),
                       .made_dirs = json.at("made_dirs")};
  } catch (const RecordJson::exception&) {
    return Fail(Code::kDataLoss,
                fmt::format("read \"{}\": not a record of setup; what it stands for must be undone "
                            "by hand, then remove it",
                            path));
  }
}

Result<void> SetupRecords::Write(const std::string& front_end, const SetupRecord& record) const {
  const RecordJson json{{"path", record.path},          {"name", record.name},
                        {"default", record.is_default}, {"before", TextOrNull(record.before)},
                        {"written", record.written},    {"interim", TextOrNull(record.interim)},
                        {"made_dirs", record.made_dirs}};
  // What it repeats may be somebody's secret.
  return WriteConfigFile(PathOf(front_end),
                         json.dump(2, ' ', false, RecordJson::error_handler_t::replace) + "\n",
                         0600);
}

Result<void> SetupRecords::Remove(const std::string& front_end) const {
  RemoveLeftovers(PathOf(front_end));
  return sys::RemoveFile(PathOf(front_end));
}

}  // namespace kata::cli::setup
