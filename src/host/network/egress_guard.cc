// SPDX-License-Identifier: Apache-2.0
#include "host/network/egress_guard.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sys/bpf.h"
#include "sys/traffic_control.h"

namespace kata::network {
namespace {

constexpr uint32_t kMostFlows = 16384;
constexpr const char* kFlowsMap = "egress_flows";
constexpr const char* kCountsMap = "egress_counts";
constexpr const char* kJudge = "egress_judge";
constexpr const char* kNote = "egress_note";

// What a machine sends comes in on a tap, and goes out by a macvtap.
sys::Hook FromMachine(Model model) {
  return model == Model::kMacvtap ? sys::Hook::kEgress : sys::Hook::kIngress;
}
sys::Hook ToMachine(Model model) {
  return model == Model::kMacvtap ? sys::Hook::kIngress : sys::Hook::kEgress;
}

}  // namespace

Result<EgressGuard> EgressGuard::Make(egress::Policy policy, const EgressOptions& options) {
  sys::UniqueFd flows = KATA_TRY_WITHIN(
      "egress policy",
      sys::MakeBpfMap(BPF_MAP_TYPE_LRU_HASH, kFlowsMap, kEgressFlowSize, 1, kMostFlows));
  return EgressGuard(std::move(policy), options, std::move(flows));
}

Result<void> EgressGuard::Check(const Endpoint& endpoint, Model model) {
  if (model == Model::kSockets || endpoint.link.kind != "tun") return {};
  return Fail(Code::kFailedPrecondition,
              fmt::format("egress policy: interface \"{}\" is a tap that was made for the machine, "
                          "which is not guarded; give the sandbox another kind of interface",
                          endpoint.link.name));
}

Result<void> EgressGuard::Put(sys::NetlinkSocket& socket, int tap, Model model) const {
  const auto put = [&]() -> Result<void> {
    const sys::UniqueFd counts = KATA_TRY(
        sys::MakeBpfMap(BPF_MAP_TYPE_ARRAY, kCountsMap, sizeof(uint32_t), sizeof(uint64_t), 2));
    const EgressMaps maps{.flows = flows_.get(), .counts = counts.get()};
    const std::vector<bpf_insn> judge = KATA_TRY(JudgeEgress(policy_, options_, maps));
    const std::vector<bpf_insn> note = KATA_TRY(NoteIngress(options_, maps));
    const sys::UniqueFd judges =
        KATA_TRY(sys::LoadBpfProgram(BPF_PROG_TYPE_SCHED_CLS, kJudge, judge));
    const sys::UniqueFd notes = KATA_TRY(sys::LoadBpfProgram(BPF_PROG_TYPE_SCHED_CLS, kNote, note));
    KATA_TRY(sys::EnsureHooks(socket, tap));
    KATA_TRY(sys::PutProgram(socket, tap, ToMachine(model), notes.get(), kNote));
    return sys::PutProgram(socket, tap, FromMachine(model), judges.get(), kJudge);
  };
  KATA_TRY_WITHIN("egress policy", put());
  return {};
}

Result<std::optional<EgressCounts>> CountEgress(sys::NetlinkSocket& socket, int tap, Model model) {
  const auto program = KATA_TRY(sys::FindProgram(socket, tap, FromMachine(model), kJudge));
  if (!program) return std::nullopt;
  const sys::UniqueFd map = KATA_TRY(sys::FindBpfMap(*program, kCountsMap));
  const uint64_t packets = KATA_TRY(sys::ReadBpfCounter(map.get(), kDeniedPackets));
  return EgressCounts{.packets = packets,
                      .connections = KATA_TRY(sys::ReadBpfCounter(map.get(), kDeniedConnections))};
}

}  // namespace kata::network
