// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime direct-volume: volumes that are disks of the machine
// (host/storage/direct_volumes.h).
#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/command.h"
#include "host/cli/oci/sandbox_lookup.h"
#include "host/cli/oci/shim.h"
#include "host/storage/direct_volumes.h"
#include "proto/agent.pb.h"
#include "proto/csi.pb.h"
#include "proto/wellknown.pb.h"

namespace kata::cli::oci {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kVolumeFlags = {
    Flag{"volume-path", '\0', true, "the volume's directory on the host", "DIR"},
    Flag{"mount-info", '\0', true, "what the disk is, for add", "JSON"},
    Flag{"size", '\0', true, "bytes, for resize", "BYTES"},
};

// The answer of the first sandbox that has the volume and does what it is asked for.
template <class Response>
Result<Response> AskSandbox(const std::string& volume, std::string_view method,
                            const google::protobuf::MessageLite& request) {
  Result<Response> answer =
      Fail(Code::kNotFound, fmt::format("direct volume \"{}\": no sandbox has it", volume));
  // A shim that was killed has left its sandbox's name.
  for (const std::string& user : KATA_TRY(storage::DirectVolumes().UsersOf(volume))) {
    const auto record = FindRecord(user);
    if (!record) continue;
    const auto shim = Shim::Connect(record->owner);
    if (!shim) continue;
    answer = (*shim)->CallSandbox<Response>(method, request);
    if (answer) break;
  }
  return answer;
}

// In the words of Kata Containers' command.
Result<int> Stats(const std::string& volume) {
  agent::VolumeStatsRequest request;
  request.set_volume_guest_path(volume);
  const auto stats =
      KATA_TRY(AskSandbox<csi::VolumeStatsResponse>(volume, "GetVolumeStats", request));
  Json usages = Json::array();
  for (const csi::VolumeUsage& usage : stats.usage()) {
    usages.push_back({{"available", usage.available()},
                      {"total", usage.total()},
                      {"used", usage.used()},
                      {"unit", static_cast<int>(usage.unit())}});
  }
  const Json answer = {{"usage", usages},
                       {"volume_condition", {{"abnormal", stats.volume_condition().abnormal()}}}};
  KATA_TRY(Print(answer.dump() + "\n"));
  return 0;
}

Result<int> Resize(const std::string& volume, const std::string& size) {
  uint64_t bytes = 0;
  const char* const end = size.data() + size.size();
  const auto [stop, status] = std::from_chars(size.data(), end, bytes);
  if (status != std::errc() || stop != end || bytes == 0) {
    return Fail(Code::kInvalidArgument,
                fmt::format("direct-volume resize: --size \"{}\" is not a number of bytes", size));
  }
  agent::ResizeVolumeRequest request;
  request.set_volume_guest_path(volume);
  request.set_size(bytes);
  KATA_TRY(AskSandbox<wellknown::Empty>(volume, "ResizeVolume", request));
  return 0;
}

Result<int> RunDirectVolume(const Globals&, const Arguments& arguments) {
  const std::string& verb = arguments.words().front();
  const std::string volume = arguments.Get("volume-path");
  if (volume.empty()) {
    return Fail(Code::kInvalidArgument, "direct-volume: --volume-path is missing");
  }
  const storage::DirectVolumes volumes;
  if (verb == "add") {
    KATA_TRY(volumes.Add(volume, arguments.Get("mount-info")));
    return 0;
  }
  if (verb == "remove" || verb == "delete") {
    KATA_TRY(volumes.Remove(volume));
    return 0;
  }
  if (verb == "stats") return Stats(volume);
  if (verb == "resize") return Resize(volume, arguments.Get("size"));
  return Fail(Code::kInvalidArgument,
              fmt::format("direct-volume: \"{}\" is none of add, remove, stats and resize", verb));
}

}  // namespace

const Command kDirectVolume{
    .name = "direct-volume",
    .words = "add|remove|stats|resize",
    .summary = "volumes that are disks of the virtual machine",
    .examples =
        "  kata-runtime direct-volume add --volume-path DIR --mount-info "
        "'{\"volume-type\":\"block\",\"device\":\"/dev/sdf\",\"fstype\":\"ext4\"}'\n"
        "                                                        DIR is a disk from now on\n"
        "  kata-runtime direct-volume stats --volume-path DIR    how full it is\n"
        "  kata-runtime direct-volume resize --volume-path DIR --size 21474836480\n"
        "                                                        it grows while it is in use\n",
    .flags = kVolumeFlags,
    .min_words = 1,
    .max_words = 1,
    .run = RunDirectVolume};

}  // namespace kata::cli::oci
