// SPDX-License-Identifier: Apache-2.0
#include "sys/socket_steering.h"

#include <linux/bpf.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace kata::sys {
namespace {

// Where a kind's socket is in the map: bit 0 says UDP, bit 1 IPv6.
constexpr uint32_t kUdp = 1;
constexpr uint32_t kIpv6 = 2;
constexpr uint32_t kKinds = 4;

int Bpf(bpf_cmd command, bpf_attr* attributes) {
  return static_cast<int>(::syscall(__NR_bpf, command, attributes, sizeof *attributes));
}

std::unexpected<Error> Failed(const char* step) {
  if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
    return Fail(Code::kUnimplemented,
                std::string(step) +
                    ": this kernel cannot steer sockets; it takes Linux 5.9 with BPF "
                    "(CONFIG_BPF_SYSCALL)");
  }
  return FailErrno(step);
}

Result<UniqueFd> MakeMap(const SteeredSockets& sockets) {
  bpf_attr make{};
  make.map_type = BPF_MAP_TYPE_SOCKMAP;
  make.key_size = sizeof(uint32_t);
  make.value_size = sizeof(uint64_t);
  make.max_entries = kKinds;
  UniqueFd map(Bpf(BPF_MAP_CREATE, &make));
  if (!map) return Failed("make a map of sockets");
  const std::array<std::pair<uint32_t, int>, kKinds> entries{{{0, sockets.tcp4},
                                                              {kUdp, sockets.udp4},
                                                              {kIpv6, sockets.tcp6},
                                                              {kIpv6 | kUdp, sockets.udp6}}};
  for (const auto& [key, fd] : entries) {
    if (fd < 0) continue;
    const auto value = static_cast<uint64_t>(fd);
    bpf_attr put{};
    put.map_fd = static_cast<uint32_t>(map.get());
    put.key = reinterpret_cast<uint64_t>(&key);
    put.value = reinterpret_cast<uint64_t>(&value);
    if (Bpf(BPF_MAP_UPDATE_ELEM, &put) != 0) return Failed("put a socket into a map");
  }
  return map;
}

bpf_insn Insn(int code, int target, int source, int offset, int32_t immediate) {
  return {.code = static_cast<uint8_t>(code),
          .dst_reg = static_cast<uint8_t>(target & 0xf),
          .src_reg = static_cast<uint8_t>(source & 0xf),
          .off = static_cast<int16_t>(offset),
          .imm = immediate};
}
bpf_insn Load(int target, int source, int offset) {
  return Insn(BPF_LDX | BPF_MEM | BPF_W, target, source, offset, 0);
}
bpf_insn Copy(int target, int source) {
  return Insn(BPF_ALU64 | BPF_MOV | BPF_X, target, source, 0, 0);
}
bpf_insn Set(int target, int32_t value) {
  return Insn(BPF_ALU64 | BPF_MOV | BPF_K, target, 0, 0, value);
}
bpf_insn Or(int target, uint32_t bits) {
  return Insn(BPF_ALU64 | BPF_OR | BPF_K, target, 0, 0, static_cast<int32_t>(bits));
}
// Leaves out `count` instructions unless the register has the value.
bpf_insn SkipUnless(int reg, int32_t value, int count) {
  return Insn(BPF_JMP | BPF_JNE | BPF_K, reg, 0, count, value);
}
bpf_insn Call(int helper) { return Insn(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
bpf_insn Exit() { return Insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

constexpr int kContext = BPF_REG_6;
constexpr int kSocket = BPF_REG_7;

// With the key of a socket in the second register: hands it the packet, or ends with `otherwise`.
// (BPF_IMM and BPF_ADD are 0, and not written.)
std::vector<bpf_insn> HandOver(int map, int32_t otherwise) {
  constexpr int kKeySlot = -4;
  return {
      Insn(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_2, kKeySlot, 0),
      Insn(BPF_LD | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
      Insn(0, 0, 0, 0, 0),  // of the one before, which is twice as long
      Copy(BPF_REG_2, BPF_REG_10),
      Insn(BPF_ALU64 | BPF_K, BPF_REG_2, 0, 0, kKeySlot),
      Call(BPF_FUNC_map_lookup_elem),
      Insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 9, 0),
      Copy(kSocket, BPF_REG_0),
      Copy(BPF_REG_1, kContext),
      Copy(BPF_REG_2, kSocket),
      Set(BPF_REG_3, 0),
      Call(BPF_FUNC_sk_assign),
      Copy(BPF_REG_1, kSocket),
      Call(BPF_FUNC_sk_release),
      Set(BPF_REG_0, SK_PASS),
      Exit(),
      Set(BPF_REG_0, otherwise),
      Exit(),
  };
}

std::vector<bpf_insn> Joined(std::vector<bpf_insn> one, const std::vector<bpf_insn>& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}

// Every packet, to the socket of its kind; what has none is refused.
std::vector<bpf_insn> AllPackets(int map) {
  std::vector<bpf_insn> program{
      Copy(kContext, BPF_REG_1),
      Set(BPF_REG_2, 0),
      Load(BPF_REG_3, kContext, offsetof(bpf_sk_lookup, protocol)),
      SkipUnless(BPF_REG_3, IPPROTO_UDP, 1),
      Or(BPF_REG_2, kUdp),
      Load(BPF_REG_3, kContext, offsetof(bpf_sk_lookup, family)),
      SkipUnless(BPF_REG_3, AF_INET6, 1),
      Or(BPF_REG_2, kIpv6),
  };
  return Joined(std::move(program), HandOver(map, SK_DROP));
}

std::vector<bpf_insn> LoopbackConnections(int map) {
  constexpr int kAddress = offsetof(bpf_sk_lookup, local_ip6);
  const auto one = static_cast<int32_t>(htonl(1));
  std::vector<bpf_insn> program{
      Copy(kContext, BPF_REG_1),
      Load(BPF_REG_3, kContext, offsetof(bpf_sk_lookup, protocol)),
      SkipUnless(BPF_REG_3, IPPROTO_TCP, 16),
      Load(BPF_REG_3, kContext, offsetof(bpf_sk_lookup, family)),
      SkipUnless(BPF_REG_3, AF_INET, 4),
      Load(BPF_REG_3, kContext, offsetof(bpf_sk_lookup, local_ip4)),
      SkipUnless(BPF_REG_3, static_cast<int32_t>(htonl(INADDR_LOOPBACK)), 12),
      Set(BPF_REG_2, 0),
      Insn(BPF_JMP | BPF_JA, 0, 0, 12, 0),
      Load(BPF_REG_3, kContext, kAddress),
      SkipUnless(BPF_REG_3, 0, 8),
      Load(BPF_REG_3, kContext, kAddress + 4),
      SkipUnless(BPF_REG_3, 0, 6),
      Load(BPF_REG_3, kContext, kAddress + 8),
      SkipUnless(BPF_REG_3, 0, 4),
      Load(BPF_REG_3, kContext, kAddress + 12),
      SkipUnless(BPF_REG_3, one, 2),
      Set(BPF_REG_2, kIpv6),
      Insn(BPF_JMP | BPF_JA, 0, 0, 2, 0),
      Set(BPF_REG_0, SK_PASS),
      Exit(),
  };
  return Joined(std::move(program), HandOver(map, SK_PASS));
}

Result<UniqueFd> LoadProgram(const std::vector<bpf_insn>& program) {
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_SK_LOOKUP;
  load.expected_attach_type = BPF_SK_LOOKUP;
  load.insns = reinterpret_cast<uint64_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uint64_t>(&kLicense);
  UniqueFd loaded(Bpf(BPF_PROG_LOAD, &load));
  if (!loaded) return Failed("load a program that steers sockets");
  return loaded;
}

Result<UniqueFd> Attach(int ns, const std::vector<bpf_insn>& instructions) {
  const UniqueFd program = KATA_TRY(LoadProgram(instructions));
  bpf_attr attach{};
  attach.link_create.prog_fd = static_cast<uint32_t>(program.get());
  attach.link_create.target_fd = static_cast<uint32_t>(ns);
  attach.link_create.attach_type = BPF_SK_LOOKUP;
  UniqueFd link(Bpf(BPF_LINK_CREATE, &attach));
  if (!link) return Failed("attach a program that steers sockets");
  return link;
}

}  // namespace

Result<UniqueFd> SteerSockets(int ns, const SteeredSockets& sockets) {
  const UniqueFd map = KATA_TRY(MakeMap(sockets));
  return Attach(ns, AllPackets(map.get()));
}

Result<UniqueFd> SteerLoopback(int ns, int tcp4, int tcp6) {
  const UniqueFd map = KATA_TRY(MakeMap({.tcp4 = tcp4, .tcp6 = tcp6}));
  return Attach(ns, LoopbackConnections(map.get()));
}

}  // namespace kata::sys
