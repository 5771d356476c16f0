// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime direct-volume: volumes that are disks of the machine
// (host/storage/direct_volumes.h).
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/command.h"
#include "host/cli/oci/sandbox_lookup.h"
#include "host/cli/oci/shim.h"
#include "host/storage/direct_volumes.h"
#include "proto/agent.pb.h"
#include "proto/csi.pb.h"

namespace kata::cli::oci {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kVolumeFlags = {
    Flag{"volume-path", '\0', true, "the volume's directory on the host", "DIR"},
    Flag{"mount-info", '\0', true, "what the disk is, for add", "JSON"},
    Flag{"size", '\0', true, "bytes, for resize", "BYTES"},
};

Result<csi::VolumeStatsResponse> AskForStats(const std::string& volume) {
  agent::VolumeStatsRequest request;
  request.set_volume_guest_path(volume);
  Result<csi::VolumeStatsResponse> answer =
      Fail(Code::kNotFound, fmt::format("direct volume \"{}\": no sandbox has it", volume));
  // A shim that was killed has left its sandbox's name.
  for (const std::string& user : KATA_TRY(storage::DirectVolumes().UsersOf(volume))) {
    const auto record = FindRecord(user);
    if (!record) continue;
    const auto shim = Shim::Connect(record->owner);
    if (!shim) continue;
    answer = (*shim)->CallSandbox<csi::VolumeStatsResponse>("GetVolumeStats", request);
    if (answer) break;
  }
  return answer;
}

// In the words of Kata Containers' command.
Result<int> Stats(const std::string& volume) {
  const csi::VolumeStatsResponse stats = KATA_TRY(AskForStats(volume));
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
  if (verb == "resize") {
    return Fail(Code::kUnimplemented,
                "direct-volume resize: a file system that a guest has mounted cannot grow yet; "
                "stop the pod and resize the file system on the host");
  }
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
        "  kata-runtime direct-volume stats --volume-path DIR    how full it is\n",
    .flags = kVolumeFlags,
    .min_words = 1,
    .max_words = 1,
    .run = RunDirectVolume};

}  // namespace kata::cli::oci
