// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/exec_process.h"

#include <charconv>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "oci/parse.h"
#include "oci/usable_capabilities.h"
#include "oci/validate.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

using nlohmann::json;

Result<uint32_t> ParseId(std::string_view what, std::string_view text) {
  uint32_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size()) {
    return Fail(Code::kInvalidArgument, fmt::format("{}: \"{}\" is no number", what, text));
  }
  return number;
}

Result<json> ParseObject(const std::string& name, const std::string& text) {
  json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return Fail(Code::kInvalidArgument, name + ": not a JSON object");
  return parsed;
}

Result<void> ApplyUser(const std::string& user, json& process) {
  const size_t colon = user.find(':');
  process["user"]["uid"] = KATA_TRY(ParseId("user", user.substr(0, colon)));
  if (colon != std::string::npos) {
    process["user"]["gid"] = KATA_TRY(ParseId("user", user.substr(colon + 1)));
  }
  return {};
}

void AddCapabilities(const std::vector<std::string>& names, json& process) {
  for (const char* set : {"bounding", "effective", "permitted", "ambient"}) {
    // An ambient capability has to be inheritable as well, which exec does not make it.
    if (std::string_view(set) == "ambient" && !process["capabilities"].contains("inheritable")) {
      continue;
    }
    for (const std::string& name : names) process["capabilities"][set].push_back(name);
  }
}

Result<json> FromContainer(const std::string& state_directory, const Arguments& arguments) {
  const std::string path = state_directory + "/config.json";
  const std::string text = KATA_TRY(sys::ReadFile(path, ::kata::oci::kMaxJsonBytes));
  const json config = KATA_TRY(ParseObject(path, text));
  json process = config.value("process", json::object());
  process.erase("commandLine");
  process.erase("consoleSize");
  process["args"] =
      std::vector<std::string>(arguments.words().begin() + 1, arguments.words().end());
  process["terminal"] = arguments.On("tty");
  if (const std::string cwd = arguments.Get("cwd"); !cwd.empty()) process["cwd"] = cwd;
  for (const std::string& entry : arguments.All("env")) process["env"].push_back(entry);
  if (arguments.Has("cap")) AddCapabilities(arguments.All("cap"), process);
  if (arguments.Has("no-new-privs")) process["noNewPrivileges"] = arguments.On("no-new-privs");
  if (const std::string user = arguments.Get("user"); !user.empty()) {
    KATA_TRY(ApplyUser(user, process));
  }
  for (const std::string& gid : arguments.All("additional-gids")) {
    process["user"]["additionalGids"].push_back(KATA_TRY(ParseId("additional-gids", gid)));
  }
  return process;
}

}  // namespace

Result<ExecProcess> ReadExecProcess(const std::string& state_directory,
                                    const Arguments& arguments) {
  ExecProcess result;
  if (const std::string file = arguments.Get("process"); !file.empty()) {
    const std::string text = KATA_TRY(sys::ReadFile(file, ::kata::oci::kMaxJsonBytes));
    json process = KATA_TRY(ParseObject(file, text));
    if (arguments.On("tty")) process["terminal"] = true;
    result.json = process.dump(-1, ' ', false, json::error_handler_t::replace);
  } else {
    result.json = KATA_TRY(FromContainer(state_directory, arguments))
                      .dump(-1, ' ', false, json::error_handler_t::replace);
  }
  ::kata::oci::Process process = KATA_TRY(::kata::oci::ParseProcess(result.json)).value;
  KATA_TRY(::kata::oci::ValidateProcess(process));
  result.notes = ::kata::oci::RemoveUnusableCapabilities(&process);
  result.terminal = process.terminal();
  result.rows = process.console_size().height();
  result.columns = process.console_size().width();
  return result;
}

}  // namespace kata::cli::oci
