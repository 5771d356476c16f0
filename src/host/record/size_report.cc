// SPDX-License-Identifier: Apache-2.0
#include "host/record/size_report.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxSizeFile = 64 << 10;

uint32_t Sum(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{a} + b, UINT32_MAX));
}

Json ToJson(const MachineSize& size) {
  return {{"vcpus", size.vcpus}, {"memory_mib", size.memory_mib}};
}

MachineSize ToSize(const Json& size) {
  return {.vcpus = size.at("vcpus").get<uint32_t>(),
          .memory_mib = size.at("memory_mib").get<uint32_t>()};
}

std::string Row(std::string_view name, std::string_view asked, std::string_view has,
                std::string_view most) {
  return fmt::format("{:<10} {:>12} {:>12} {:>12}\n", name, asked, has, most);
}

// A sum of limits without measure has no number.
std::string Mib(uint32_t mib) { return mib == UINT32_MAX ? "no end" : fmt::format("{} MiB", mib); }

std::string SizeFile(const std::string& sandbox_id, const std::string& root) {
  return RecordDir(sandbox_id, root) + "/size.json";
}

}  // namespace

MachineSize operator+(const MachineSize& a, const MachineSize& b) {
  return {.vcpus = Sum(a.vcpus, b.vcpus), .memory_mib = Sum(a.memory_mib, b.memory_mib)};
}

std::string DescribeShortage(const SizeReport& report) {
  if (report.has.memory_mib >= report.asked.memory_mib) return "";
  return fmt::format(
      "the machine has {} MiB of memory and cannot use what is beyond: its own and its containers' "
      "limits add up to {}{}{}",
      report.has.memory_mib, Mib(report.asked.memory_mib), report.reason.empty() ? "" : "; ",
      report.reason);
}

uint32_t MissingMib(const SizeReport& report) {
  return report.asked.memory_mib - std::min(report.has.memory_mib, report.asked.memory_mib);
}

Result<void> CheckGrowth(const SizeReport& before, const SizeReport& after) {
  const uint32_t missing = MissingMib(after);
  if (missing <= MissingMib(before)) return {};
  const bool endless = after.asked.memory_mib == UINT32_MAX;
  const std::string remedy =
      endless ? "ask for less" : fmt::format("ask for {} MiB less", missing - MissingMib(before));
  return Fail(Code::kResourceExhausted,
              fmt::format("the machine can have {} MiB of memory, and its own and its containers' "
                          "limits would add up to {}{}{}; {}",
                          after.has.memory_mib, Mib(after.asked.memory_mib),
                          after.reason.empty() ? "" : "; ", after.reason, remedy));
}

std::string FormatSizeTable(const SizeReport& report) {
  const auto& [asked, has, most, reason] = report;
  std::string text = Row("", "ASKED FOR", "HAS", "AT MOST");
  text += Row("memory", Mib(asked.memory_mib), Mib(has.memory_mib), Mib(most.memory_mib));
  text += Row("processors", fmt::to_string(asked.vcpus), fmt::to_string(has.vcpus),
              fmt::to_string(most.vcpus));
  if (!reason.empty()) text += reason + "\n";
  return text;
}

std::string FormatSizeReport(const SizeReport& report) {
  return Json{{"asked", ToJson(report.asked)},
              {"has", ToJson(report.has)},
              {"most", ToJson(report.most)},
              {"reason", report.reason}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<SizeReport> ParseSizeReport(const std::string& text) {
  const Json read = Json::parse(text, nullptr, false);
  try {
    return SizeReport{.asked = ToSize(read.at("asked")),
                      .has = ToSize(read.at("has")),
                      .most = ToSize(read.at("most")),
                      .reason = read.at("reason").get<std::string>()};
  } catch (const Json::exception&) {
    return Fail(Code::kDataLoss, "the size of a machine cannot be read");
  }
}

Result<void> SaveSizeReport(const std::string& sandbox_id, const SizeReport& report,
                            const std::string& root) {
  return sys::WriteFile(SizeFile(sandbox_id, root), FormatSizeReport(report), 0600);
}

Result<SizeReport> LoadSizeReport(const std::string& sandbox_id, const std::string& root) {
  auto text = sys::ReadFile(SizeFile(sandbox_id, root), kMaxSizeFile);
  if (!text && text.error().code() == Code::kNotFound) {
    return Fail(
        Code::kNotFound,
        fmt::format("no machine of a sandbox \"{}\" runs, or none has started yet", sandbox_id));
  }
  return ParseSizeReport(KATA_TRY(std::move(text)));
}

}  // namespace kata::sandbox
