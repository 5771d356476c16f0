// SPDX-License-Identifier: Apache-2.0
#include "host/record/timing.h"

#include <glob.h>

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxFile = 64 << 10;

Json ToJson(const std::vector<Phase>& phases) {
  Json list = Json::array();
  for (const Phase& phase : phases) list.push_back({{"phase", phase.name}, {"ms", phase.millis}});
  return list;
}

std::vector<Phase> ToPhases(const Json& list) {
  std::vector<Phase> phases;
  for (const Json& each : list) {
    phases.push_back({each.at("phase").get<std::string>(), each.at("ms").get<double>()});
  }
  return phases;
}

// Ids have no characters that mean something to glob(3).
std::string FileName(const std::string& directory, const std::string& container_id) {
  return fmt::format("{}/{}.timing.json", directory, container_id);
}

}  // namespace

std::string FormatTiming(const StartTiming& timing) {
  return Json{{"from", timing.from},
              {"booted", ToJson(timing.booted)},
              {"created", ToJson(timing.created)},
              {"started", ToJson(timing.started)}}
      .dump();
}

Result<StartTiming> ParseTiming(const std::string& text) {
  const Json read = Json::parse(text, nullptr, false);
  try {
    return StartTiming{.from = read.at("from").get<std::string>(),
                       .booted = ToPhases(read.at("booted")),
                       .created = ToPhases(read.at("created")),
                       .started = ToPhases(read.at("started"))};
  } catch (const Json::exception&) {
    return Fail(Code::kDataLoss, "the timing of a start cannot be read");
  }
}

Result<void> SaveTiming(const std::string& sandbox_id, const std::string& container_id,
                        const StartTiming& timing, const std::string& root) {
  return sys::WriteFile(FileName(RecordDir(sandbox_id, root), container_id), FormatTiming(timing),
                        0600);
}

Result<void> RemoveTiming(const std::string& sandbox_id, const std::string& container_id,
                          const std::string& root) {
  return sys::RemoveFile(FileName(RecordDir(sandbox_id, root), container_id));
}

Result<StartTiming> LoadTiming(const std::string& container_id, const std::string& root) {
  glob_t found{};
  const int failed = ::glob(FileName(root + "/*", container_id).c_str(), 0, nullptr, &found);
  const std::string path = failed == 0 && found.gl_pathc > 0 ? found.gl_pathv[0] : "";
  ::globfree(&found);
  if (path.empty()) {
    return Fail(Code::kNotFound,
                fmt::format("no start of a container \"{}\" is known; it runs no more, or has not "
                            "been started",
                            container_id));
  }
  return ParseTiming(KATA_TRY(sys::ReadFile(path, kMaxFile)));
}

}  // namespace kata::sandbox
