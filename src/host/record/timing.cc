// SPDX-License-Identifier: Apache-2.0
#include "host/record/timing.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/record/container_file.h"

namespace kata::sandbox {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTimingFile = "timing.json";

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
  return SaveContainerFile(sandbox_id, container_id, kTimingFile, FormatTiming(timing), root);
}

Result<void> RemoveTiming(const std::string& sandbox_id, const std::string& container_id,
                          const std::string& root) {
  return RemoveContainerFile(sandbox_id, container_id, kTimingFile, root);
}

Result<StartTiming> LoadTimingIn(const std::string& sandbox_id, const std::string& container_id,
                                 const std::string& root) {
  return ParseTiming(KATA_TRY(LoadContainerFileIn(sandbox_id, container_id, kTimingFile, root)));
}

Result<StartTiming> LoadTiming(const std::string& container_id, const std::string& root) {
  const auto text = LoadContainerFile(container_id, kTimingFile, root);
  if (text) return ParseTiming(*text);
  if (text.error().code() != Code::kNotFound) return std::unexpected(text.error());
  return Fail(Code::kNotFound,
              fmt::format("no start of a container \"{}\" is known; it runs no more, or has not "
                          "been started",
                          container_id));
}

}  // namespace kata::sandbox
