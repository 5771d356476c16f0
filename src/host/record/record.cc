// SPDX-License-Identifier: Apache-2.0
#include "host/record/record.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxRecordSize = 1 << 20;
constexpr size_t kMaxEntries = 4096;
constexpr size_t kMaxUpperEntries = 64;

constexpr std::array<std::pair<ProcessRole, std::string_view>, 4> kRoles{{
    {ProcessRole::kShim, "shim"},
    {ProcessRole::kVmm, "vmm"},
    {ProcessRole::kVirtiofsd, "virtiofsd"},
    {ProcessRole::kLogger, "logger"},
}};

std::string_view RoleName(ProcessRole role) {
  for (const auto& [value, name] : kRoles) {
    if (value == role) return name;
  }
  return "vmm";
}

std::optional<ProcessRole> RoleByName(std::string_view word) {
  for (const auto& [value, name] : kRoles) {
    if (name == word) return value;
  }
  return std::nullopt;
}

std::unexpected<Error> Broken(std::string_view what) {
  return Fail(Code::kDataLoss, fmt::format("sandbox record: {}", what));
}

// Missing lists are empty ones.
Result<std::vector<std::string>> StringsAt(const json& object, const char* key) {
  std::vector<std::string> strings;
  const auto found = object.find(key);
  if (found == object.end()) return strings;
  if (!found->is_array() || found->size() > kMaxEntries) return Broken(key);
  for (const json& item : *found) {
    if (!item.is_string()) return Broken(key);
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

Result<ProcessEntry> ParseProcess(const json& item) {
  if (!item.is_object()) return Broken("processes");
  const auto pid = item.find("pid");
  const auto start_time = item.find("start_time");
  const auto role = item.find("role");
  if (pid == item.end() || !pid->is_number_unsigned() || start_time == item.end() ||
      !start_time->is_number_unsigned() || role == item.end() || !role->is_string()) {
    return Broken("processes");
  }
  const auto number = pid->get<uint64_t>();
  const auto known_role = RoleByName(role->get_ref<const std::string&>());
  // A pid of 0 would be the caller's own process group, 1 is init.
  if (number < 2 || number > std::numeric_limits<pid_t>::max() || !known_role) {
    return Broken("processes");
  }
  return ProcessEntry{static_cast<pid_t>(number), start_time->get<uint64_t>(), *known_role};
}

json FormatNetwork(const NetworkEntry& entry) {
  return {{"namespace", entry.namespace_path},
          {"device", entry.namespace_id.device},
          {"inode", entry.namespace_id.inode},
          {"interface", entry.connection.interface},
          {"link", entry.connection.link},
          {"tap", entry.connection.tap},
          {"model", network::ModelName(entry.connection.model)}};
}

Result<std::string> TextAt(const json& item, const char* key, std::string_view list) {
  const auto found = item.find(key);
  if (found == item.end() || !found->is_string()) return Broken(list);
  return found->get<std::string>();
}

template <class Number = uint64_t>
Result<Number> NumberAt(const json& item, const char* key, std::string_view list) {
  const auto found = item.find(key);
  if (found == item.end() || !found->is_number_unsigned()) return Broken(list);
  const auto number = found->get<uint64_t>();
  if (number > std::numeric_limits<Number>::max()) return Broken(list);
  return static_cast<Number>(number);
}

Result<NetworkEntry> ParseNetwork(const json& item) {
  constexpr std::string_view kList = "networks";
  if (!item.is_object()) return Broken(kList);
  NetworkEntry entry;
  const auto text = [&](const char* key) { return TextAt(item, key, kList); };
  const auto number = [&](const char* key) { return NumberAt(item, key, kList); };
  entry.namespace_path = KATA_TRY(text("namespace"));
  entry.namespace_id = {.device = KATA_TRY(number("device")), .inode = KATA_TRY(number("inode"))};
  entry.connection.interface = KATA_TRY(text("interface"));
  entry.connection.link = KATA_TRY(NumberAt<int>(item, "link", kList));
  entry.connection.tap = KATA_TRY(text("tap"));
  const auto model = network::ModelByName(KATA_TRY(text("model")));
  if (!model) return Broken(kList);
  entry.connection.model = *model;
  return entry;
}

json FormatUpper(const storage::UpperTrace& trace) {
  return {{"directory", trace.directory},
          {"device", trace.device},
          {"inode", trace.inode},
          {"uid", trace.uid},
          {"gid", trace.gid},
          {"mode", trace.mode},
          {"upper", trace.upper},
          {"work", trace.work},
          {"entries", trace.entries}};
}

Result<storage::UpperTrace> ParseUpper(const json& item) {
  constexpr std::string_view kList = "uppers";
  if (!item.is_object()) return Broken(kList);
  storage::UpperTrace trace;
  trace.directory = KATA_TRY(TextAt(item, "directory", kList));
  trace.device = KATA_TRY(NumberAt(item, "device", kList));
  trace.inode = KATA_TRY(NumberAt(item, "inode", kList));
  trace.uid = KATA_TRY(NumberAt<uid_t>(item, "uid", kList));
  trace.gid = KATA_TRY(NumberAt<gid_t>(item, "gid", kList));
  trace.mode = KATA_TRY(NumberAt<mode_t>(item, "mode", kList));
  trace.upper = KATA_TRY(TextAt(item, "upper", kList));
  trace.work = KATA_TRY(TextAt(item, "work", kList));
  for (std::string& name : KATA_TRY(StringsAt(item, "entries"))) {
    trace.entries.insert(std::move(name));
  }
  // Without them, what it must keep is not known.
  if (!trace.entries.contains(trace.upper) || !trace.entries.contains(trace.work)) {
    return Broken(kList);
  }
  return trace;
}

}  // namespace

std::string RecordDir(const std::string& sandbox_id, const std::string& root) {
  return root + "/" + sandbox_id;
}

std::string FormatRecord(const SandboxRecord& record) {
  json processes = json::array();
  for (const ProcessEntry& process : record.processes) {
    processes.push_back({{"pid", process.pid},
                         {"start_time", process.start_time},
                         {"role", RoleName(process.role)}});
  }
  json networks = json::array();
  for (const NetworkEntry& entry : record.networks) networks.push_back(FormatNetwork(entry));
  json uppers = json::array();
  for (const storage::UpperTrace& trace : record.uppers) uppers.push_back(FormatUpper(trace));
  const json object = {{"version", kVersion},
                       {"id", record.id},
                       {"owner", record.owner},
                       {"containers", record.containers},
                       {"processes", std::move(processes)},
                       {"paths", record.paths},
                       {"cgroups", record.cgroups},
                       {"sockets", record.sockets},
                       {"networks", std::move(networks)},
                       {"uppers", std::move(uppers)}};
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<SandboxRecord> ParseRecord(const std::string& text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return Broken("not a JSON object");
  const auto version = object.find("version");
  if (version == object.end() || *version != kVersion) return Broken("unknown version");
  const auto id = object.find("id");
  if (id == object.end() || !id->is_string()) return Broken("id");

  SandboxRecord record;
  record.id = id->get<std::string>();
  if (const auto owner = object.find("owner"); owner != object.end()) {
    if (!owner->is_string()) return Broken("owner");
    record.owner = owner->get<std::string>();
  }
  record.containers = KATA_TRY(StringsAt(object, "containers"));
  record.paths = KATA_TRY(StringsAt(object, "paths"));
  record.cgroups = KATA_TRY(StringsAt(object, "cgroups"));
  record.sockets = KATA_TRY(StringsAt(object, "sockets"));
  if (const auto processes = object.find("processes"); processes != object.end()) {
    if (!processes->is_array() || processes->size() > kMaxEntries) return Broken("processes");
    for (const json& item : *processes) record.processes.push_back(KATA_TRY(ParseProcess(item)));
  }
  if (const auto networks = object.find("networks"); networks != object.end()) {
    if (!networks->is_array() || networks->size() > kMaxEntries) return Broken("networks");
    for (const json& item : *networks) record.networks.push_back(KATA_TRY(ParseNetwork(item)));
  }
  if (const auto uppers = object.find("uppers"); uppers != object.end()) {
    if (!uppers->is_array() || uppers->size() > kMaxEntries) return Broken("uppers");
    for (const json& item : *uppers) record.uppers.push_back(KATA_TRY(ParseUpper(item)));
  }
  return record;
}

bool IsRecordable(const storage::UpperTrace& trace) {
  const auto printable = [](const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  };
  return trace.entries.size() <= kMaxUpperEntries && printable(trace.directory) &&
         std::ranges::all_of(trace.entries, printable);
}

Result<sys::UniqueFd> LockRecords(const std::string& root) {
  KATA_TRY(sys::MakeDirs(root, 0700));
  sys::UniqueFd fd = KATA_TRY(sys::Open(root, O_RDONLY | O_DIRECTORY));
  if (sys::RetryOnEintr([&] { return ::flock(fd.get(), LOCK_EX); }) != 0) {
    return FailErrno("lock", root);
  }
  return fd;
}

Result<void> SaveRecord(const SandboxRecord& record, const std::string& root) {
  if (record.id.empty() || record.id.front() == '.' || record.id.find('/') != std::string::npos) {
    return Fail(Code::kInvalidArgument, fmt::format("sandbox record: bad id \"{}\"", record.id));
  }
  const std::string directory = RecordDir(record.id, root);
  KATA_TRY(sys::MakeDirs(directory, 0700));
  return sys::ReplaceFile(directory + "/record.json", FormatRecord(record), 0600);
}

Result<SandboxRecord> LoadRecord(const std::string& sandbox_id, const std::string& root) {
  auto text = sys::ReadFile(RecordDir(sandbox_id, root) + "/record.json", kMaxRecordSize);
  if (!text && text.error().code() == Code::kOutOfRange) return Broken("too large");
  if (!text) return std::unexpected(std::move(text).error());
  SandboxRecord record = KATA_TRY(ParseRecord(*text));
  if (record.id != sandbox_id) return Broken("of another sandbox");
  return record;
}

Result<uint64_t> ProcessStartTime(pid_t pid) {
  auto stat = sys::ReadFile(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat) return std::unexpected(std::move(stat).error().WithCode(Code::kNotFound));
  // The second field is the program's name in parentheses and may hold spaces and parentheses
  // itself; the numbers follow the last one. The first word after it is field 3.
  std::string_view rest = *stat;
  const size_t name_end = rest.rfind(')');
  if (name_end == std::string_view::npos) return Fail(Code::kInternal, "proc stat: no name");
  rest.remove_prefix(name_end + 1);
  constexpr int kWordOfStartTime = 22 - 3;
  for (int word = 0;; ++word) {
    const size_t begin = rest.find_first_not_of(' ');
    if (begin == std::string_view::npos) return Fail(Code::kInternal, "proc stat: too short");
    rest.remove_prefix(begin);
    if (word == kWordOfStartTime) break;
    rest.remove_prefix(std::min(rest.find(' '), rest.size()));
  }
  uint64_t ticks = 0;
  if (std::from_chars(rest.data(), rest.data() + rest.size(), ticks).ec != std::errc()) {
    return Fail(Code::kInternal, "proc stat: not a number");
  }
  return ticks;
}

Result<ProcessEntry> DescribeProcess(pid_t pid, ProcessRole role) {
  return ProcessEntry{pid, KATA_TRY(ProcessStartTime(pid)), role};
}

bool IsAlive(const ProcessEntry& process) {
  const auto start_time = ProcessStartTime(process.pid);
  if (!start_time || *start_time != process.start_time) return false;
  const auto stat = sys::ReadFile(fmt::format("/proc/{}/stat", process.pid), 4096);
  if (!stat) return false;
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat->size()) return false;
  const char state = (*stat)[name_end + 2];
  return state != 'Z' && state != 'X';
}

void ForgetEnded(SandboxRecord* record, pid_t pid) {
  std::erase_if(record->processes, [pid](const ProcessEntry& process) {
    return process.pid == pid && !IsAlive(process);
  });
}

}  // namespace kata::sandbox
