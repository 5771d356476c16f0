// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <array>
#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/command.h"
#include "host/cli/oci/shim.h"
#include "host/cli/oci/shortage.h"
#include "oci/parse.h"
#include "oci/validate.h"
#include "proto/wellknown.pb.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

using nlohmann::json;

constexpr std::array kUpdateFlags = {
    Flag{"resources", 'r', true, "file with resources as JSON, - for standard input", "FILE"},
    Flag{"blkio-weight", '\0', true, "10 to 1000", "N"},
    Flag{"cpu-period", '\0', true, "microseconds", "N"},
    Flag{"cpu-quota", '\0', true, "microseconds a period", "N"},
    Flag{"cpu-burst", '\0', true, "microseconds", "N"},
    Flag{"cpu-share", '\0', true, "weight against other containers", "N"},
    Flag{"cpu-rt-period", '\0', true, "microseconds", "N"},
    Flag{"cpu-rt-runtime", '\0', true, "microseconds a period", "N"},
    Flag{"cpu-idle", '\0', true, "1: run when nobody else does", "N"},
    Flag{"cpuset-cpus", '\0', true, "processors", "LIST"},
    Flag{"cpuset-mems", '\0', true, "memory nodes", "LIST"},
    Flag{"kernel-memory", '\0', true, "without meaning: kernels have given it up", "BYTES"},
    Flag{"kernel-memory-tcp", '\0', true, "without meaning: kernels have given it up", "BYTES"},
    Flag{"memory", '\0', true, "bytes", "BYTES"},
    Flag{"memory-reservation", '\0', true, "bytes", "BYTES"},
    Flag{"memory-swap", '\0', true, "bytes of memory and swap together, -1 for no limit", "BYTES"},
    Flag{"pids-limit", '\0', true, "processes", "N"},
    Flag{"l3-cache-schema", '\0', true, "refused: a guest has no Intel RDT", "SCHEMA"},
    Flag{"mem-bw-schema", '\0', true, "refused: a guest has no Intel RDT", "SCHEMA"},
};

// Where the value of a flag belongs in the resources.
struct Place {
  std::string_view flag;
  const char* section;
  const char* key;
};
constexpr std::array kNumbers = {
    Place{"blkio-weight", "blockIO", "weight"},
    Place{"cpu-period", "cpu", "period"},
    Place{"cpu-quota", "cpu", "quota"},
    Place{"cpu-burst", "cpu", "burst"},
    Place{"cpu-share", "cpu", "shares"},
    Place{"cpu-rt-period", "cpu", "realtimePeriod"},
    Place{"cpu-rt-runtime", "cpu", "realtimeRuntime"},
    Place{"cpu-idle", "cpu", "idle"},
    Place{"pids-limit", "pids", "limit"},
};
constexpr std::array kSizes = {
    Place{"memory", "memory", "limit"},
    Place{"memory-reservation", "memory", "reservation"},
    Place{"memory-swap", "memory", "swap"},
};
constexpr std::array kTexts = {
    Place{"cpuset-cpus", "cpu", "cpus"},
    Place{"cpuset-mems", "cpu", "mems"},
};

// A decimal number, where `sizes` allow one of k, m, g or t behind it, with or without "b".
Result<int64_t> ParseNumber(std::string_view flag, const std::string& text, bool sizes) {
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(stop, static_cast<size_t>(end - stop));
  constexpr std::string_view kUnits = "kmgt";
  size_t power = 0;
  if (error == std::errc() && sizes && !unit.empty() && unit.size() <= 2) {
    power = kUnits.find(static_cast<char>(unit[0] | 0x20)) + 1;
    const bool known = power > 0 && (unit.size() == 1 || (unit[1] | 0x20) == 'b');
    int64_t bytes = 0;
    if (known && !__builtin_mul_overflow(number, int64_t{1} << (10 * power), &bytes)) return bytes;
  }
  if (error == std::errc() && unit.empty()) return number;
  return Fail(Code::kInvalidArgument, fmt::format("invalid value for {}: {}", flag, text));
}

Result<json> FromFlags(const Arguments& arguments) {
  json resources = json::object();
  for (const Place& place : kNumbers) {
    if (const std::string text = arguments.Get(place.flag); !text.empty()) {
      resources[place.section][place.key] = KATA_TRY(ParseNumber(place.flag, text, false));
    }
  }
  for (const Place& place : kSizes) {
    if (const std::string text = arguments.Get(place.flag); !text.empty()) {
      resources[place.section][place.key] = KATA_TRY(ParseNumber(place.flag, text, true));
    }
  }
  for (const Place& place : kTexts) {
    if (const std::string text = arguments.Get(place.flag); !text.empty()) {
      resources[place.section][place.key] = text;
    }
  }
  return resources;
}

Result<std::string> ReadResources(const std::string& file) {
  const std::string text = file == "-"
                               ? KATA_TRY(sys::ReadToEnd(STDIN_FILENO, ::kata::oci::kMaxJsonBytes))
                               : KATA_TRY(sys::ReadFile(file, ::kata::oci::kMaxJsonBytes));
  return text;
}

Result<int> Update(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  if (arguments.Has("l3-cache-schema") || arguments.Has("mem-bw-schema")) {
    return Fail(Code::kUnimplemented, "Intel RDT: not in a virtual machine");
  }
  const std::string file = arguments.Get("resources");
  const std::string resources =
      file.empty()
          ? KATA_TRY(FromFlags(arguments)).dump(-1, ' ', false, json::error_handler_t::replace)
          : KATA_TRY(ReadResources(file));
  const auto parsed = KATA_TRY(::kata::oci::ParseResources(resources));
  KATA_TRY(::kata::oci::ValidateResources(parsed.value));
  for (const auto& part : parsed.unsupported) {
    Warn(globals, fmt::format("{}: {}", part.path, part.reason));
  }
  if (KATA_TRY(StatusOf(state)) == "stopped") {
    return Fail(Code::kFailedPrecondition, "container not running");
  }
  const auto shim = KATA_TRY(Shim::Connect(state.shim));
  task::UpdateTaskRequest request;
  request.set_id(state.id);
  request.mutable_resources()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources");
  request.mutable_resources()->set_value(resources);
  KATA_TRY(shim->Call<wellknown::Empty>("Update", request));
  WarnOfShortage(globals, state.sandbox);
  return 0;
}

}  // namespace

const Command kUpdate{
    .name = "update",
    .summary = "change the limits of a container",
    .examples =
        "  kata-runtime update --memory 536870912 web                     half a GiB\n"
        "  kata-runtime update --cpu-quota 50000 --cpu-period 100000 web  half a processor\n"
        "  kata-runtime update -r limits.json web                         from a file\n",
    .flags = kUpdateFlags,
    .run = Update};

}  // namespace kata::cli::oci
