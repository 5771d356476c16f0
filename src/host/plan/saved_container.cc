// SPDX-License-Identifier: Apache-2.0
#include "host/plan/saved_container.h"

#include <nlohmann/json.hpp>

namespace kata::sandbox {
namespace {

using nlohmann::json;

// Of a checkpoint's file.
constexpr int kFormat = 1;

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Code::kDataLoss, std::string(what) + ": damaged");
}

// A member of the type of `value`, or nothing has happened.
template <class T>
bool Take(const json& from, const char* name, T* value) {
  const auto member = from.find(name);
  if (member == from.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!member->is_string()) return false;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!member->is_boolean()) return false;
  } else {
    if (!member->is_number_unsigned() || member->template get<uint64_t>() > UINT32_MAX)
      return false;
  }
  *value = member->template get<T>();
  return true;
}

bool TakeWords(const json& from, const char* name, std::vector<std::string>* words) {
  const auto member = from.find(name);
  if (member == from.end() || !member->is_array()) return false;
  for (const json& word : *member) {
    if (!word.is_string()) return false;
    words->push_back(word.get<std::string>());
  }
  return true;
}

json ToJson(const SavedProgram& program) {
  return {{"args", program.args},
          {"uid", program.uid},
          {"gid", program.gid},
          {"mounts", program.mounts}};
}

// Also where there is none.
bool TakeProgram(const json& from, std::optional<SavedProgram>* program) {
  const auto member = from.find("program");
  if (member == from.end()) return true;
  SavedProgram& taken = program->emplace();
  return member->is_object() && TakeWords(*member, "args", &taken.args) &&
         Take(*member, "uid", &taken.uid) && Take(*member, "gid", &taken.gid) &&
         TakeWords(*member, "mounts", &taken.mounts);
}

}  // namespace

std::string Format(const SavedContainer& container) {
  json whole{{"id", container.id},
             {"root_disk", container.root_disk},
             {"terminal", container.terminal},
             {"paused", container.paused},
             {"first_stream", container.first_stream}};
  if (container.program) whole["program"] = ToJson(*container.program);
  return whole.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<SavedContainer> ParseSavedContainer(std::string_view text) {
  const json parsed = json::parse(text, nullptr, false);
  SavedContainer container;
  if (!parsed.is_object() || !Take(parsed, "id", &container.id) ||
      !Take(parsed, "root_disk", &container.root_disk) ||
      !Take(parsed, "terminal", &container.terminal) ||
      !Take(parsed, "paused", &container.paused) ||
      !Take(parsed, "first_stream", &container.first_stream) ||
      !TakeProgram(parsed, &container.program)) {
    return Damaged("what the snapshot says of its container");
  }
  return container;
}

std::string FormatCheckpoint(const std::string& snapshot, const std::string& store) {
  return json{{"format", kFormat}, {"snapshot", snapshot}, {"store", store}}.dump(2) + "\n";
}

Result<std::string> ParseCheckpoint(std::string_view text) {
  const json parsed = json::parse(text, nullptr, false);
  std::string snapshot;
  uint32_t format = 0;
  if (!parsed.is_object() || !Take(parsed, "format", &format) || format != kFormat ||
      !Take(parsed, "snapshot", &snapshot)) {
    return Damaged(kCheckpointFile);
  }
  return snapshot;
}

}  // namespace kata::sandbox
