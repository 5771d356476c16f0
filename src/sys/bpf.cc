// SPDX-License-Identifier: Apache-2.0
#include "sys/bpf.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace kata::sys {
namespace {

constexpr char kBpfLicense[] = "Apache-2.0";

int CallBpf(bpf_cmd command, bpf_attr* attributes) {
  return static_cast<int>(::syscall(__NR_bpf, command, attributes, sizeof *attributes));
}

std::unexpected<Error> CallFailed(const std::string& step) {
  if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) {
    return Fail(Code::kUnimplemented,
                step + ": this kernel has no such BPF (Linux 5.10, CONFIG_BPF_SYSCALL)");
  }
  return FailErrno(step);
}

void SetName(char (&field)[BPF_OBJ_NAME_LEN], const char* name) {
  std::strncpy(field, name, BPF_OBJ_NAME_LEN - 1);
}

template <class Info>
Result<void> ReadInfo(int fd, Info* info) {
  bpf_attr ask{};
  ask.info.bpf_fd = static_cast<uint32_t>(fd);
  ask.info.info_len = sizeof *info;
  ask.info.info = reinterpret_cast<uint64_t>(info);
  if (CallBpf(BPF_OBJ_GET_INFO_BY_FD, &ask) != 0) return FailErrno("bpf info");
  return {};
}

}  // namespace

BpfAssembler::Label BpfAssembler::NewLabel() {
  bound_.push_back(-1);
  used_.push_back(false);
  return static_cast<Label>(bound_.size() - 1);
}

void BpfAssembler::Bind(Label label) {
  const auto number = static_cast<size_t>(label);
  bound_[number] = static_cast<ptrdiff_t>(program_.size());
  reachable_ = reachable_ || used_[number];
}

void BpfAssembler::Use(Label label) {
  if (!reachable_) return;
  const auto number = static_cast<size_t>(label);
  used_[number] = true;
  fixes_.push_back({.at = program_.size(), .label = number});
}

void BpfAssembler::Add(int code, int target, int source, int offset, int32_t immediate) {
  if (!reachable_) return;
  program_.push_back({.code = static_cast<uint8_t>(code),
                      .dst_reg = static_cast<uint8_t>(target & 0xf),
                      .src_reg = static_cast<uint8_t>(source & 0xf),
                      .off = static_cast<int16_t>(offset),
                      .imm = immediate});
}

void BpfAssembler::Set(int target, int32_t value) {
  Add(BPF_ALU64 | BPF_MOV | BPF_K, target, 0, 0, value);
}

void BpfAssembler::Copy(int target, int source) {
  Add(BPF_ALU64 | BPF_MOV | BPF_X, target, source, 0, 0);
}

void BpfAssembler::Do(int operation, int target, int32_t value) {
  Add(BPF_ALU64 | operation | BPF_K, target, 0, 0, value);
}

void BpfAssembler::DoRegister(int operation, int target, int source) {
  Add(BPF_ALU64 | operation | BPF_X, target, source, 0, 0);
}

void BpfAssembler::Load(int size, int target, int base, int offset) {
  Add(BPF_LDX | BPF_MEM | size, target, base, offset, 0);
}

void BpfAssembler::Store(int size, int base, int offset, int source) {
  Add(BPF_STX | BPF_MEM | size, base, source, offset, 0);
}

void BpfAssembler::AddAtomically(int base, int source) {
  // BPF_ATOMIC of newer headers; an immediate of 0 is BPF_ADD.
  Add(BPF_STX | BPF_XADD | BPF_DW, base, source, 0, 0);
}

void BpfAssembler::StoreNumber(int size, int base, int offset, int32_t value) {
  Add(BPF_ST | BPF_MEM | size, base, 0, offset, value);
}

void BpfAssembler::FromNetwork(int target, int bits) {
  Add(BPF_ALU | BPF_END | BPF_TO_BE, target, 0, 0, bits);
}

void BpfAssembler::JumpIf(int condition, int reg, uint32_t value, Label label) {
  Use(label);
  Add(BPF_JMP32 | condition | BPF_K, reg, 0, 0, static_cast<int32_t>(value));
}

void BpfAssembler::JumpIfZero(int reg, Label label) {
  Use(label);
  Add(BPF_JMP | BPF_JEQ | BPF_K, reg, 0, 0, 0);
}

void BpfAssembler::Jump(Label label) {
  Use(label);
  Add(BPF_JMP | BPF_JA, 0, 0, 0, 0);
  reachable_ = false;
}

void BpfAssembler::Map(int target, int fd) {
  Add(BPF_LD | BPF_DW, target, BPF_PSEUDO_MAP_FD, 0, fd);
  Add(0, 0, 0, 0, 0);  // the other half of the one before
}

void BpfAssembler::Call(int helper) { Add(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }

void BpfAssembler::Return(int32_t value) {
  Set(BPF_REG_0, value);
  Add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  reachable_ = false;
}

Result<std::vector<bpf_insn>> BpfAssembler::Finish() {
  for (const Fix& fix : fixes_) {
    // From the instruction behind the jump.
    const ptrdiff_t distance = bound_[fix.label] - static_cast<ptrdiff_t>(fix.at) - 1;
    if (bound_[fix.label] < 0) return Fail(Code::kInternal, "bpf: a jump to nowhere");
    if (distance > std::numeric_limits<int16_t>::max()) {
      return Fail(Code::kResourceExhausted, "bpf: the program is too long");
    }
    program_[fix.at].off = static_cast<int16_t>(distance);
  }
  return std::move(program_);
}

Result<UniqueFd> MakeBpfMap(bpf_map_type type, const char* name, uint32_t key_size,
                            uint32_t value_size, uint32_t entries) {
  bpf_attr make{};
  make.map_type = type;
  make.key_size = key_size;
  make.value_size = value_size;
  make.max_entries = entries;
  SetName(make.map_name, name);
  UniqueFd map(CallBpf(BPF_MAP_CREATE, &make));
  if (!map) return CallFailed(fmt::format("make the BPF map \"{}\"", name));
  return map;
}

Result<UniqueFd> LoadBpfProgram(bpf_prog_type type, const char* name,
                                std::span<const bpf_insn> program) {
  bpf_attr load{};
  load.prog_type = type;
  load.insns = reinterpret_cast<uint64_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uint64_t>(&kBpfLicense);
  SetName(load.prog_name, name);
  UniqueFd loaded(CallBpf(BPF_PROG_LOAD, &load));
  if (loaded) return loaded;
  const int error = errno;
  // Again, for what the kernel has to say; its end says why.
  constexpr size_t kLog = 64 << 10;
  constexpr size_t kEnd = 300;
  std::string log(kLog, '\0');
  load.log_buf = reinterpret_cast<uint64_t>(log.data());
  load.log_size = kLog;
  load.log_level = 4 | 1;
  if (UniqueFd second(CallBpf(BPF_PROG_LOAD, &load)); second) return second;
  log.resize(std::strlen(log.c_str()));
  errno = error;
  const std::string why = log.substr(log.size() - std::min(log.size(), kEnd));
  return CallFailed(fmt::format("load the BPF program \"{}\" ({})", name, why));
}

Result<UniqueFd> FindBpfMap(uint32_t program, std::string_view name) {
  bpf_attr by_id{};
  by_id.prog_id = program;
  const UniqueFd fd(CallBpf(BPF_PROG_GET_FD_BY_ID, &by_id));
  if (!fd) return FailErrno("bpf program");
  constexpr size_t kMostMaps = 8;
  std::array<uint32_t, kMostMaps> maps{};
  bpf_prog_info info{};
  info.nr_map_ids = kMostMaps;
  info.map_ids = reinterpret_cast<uint64_t>(maps.data());
  KATA_TRY(ReadInfo(fd.get(), &info));
  for (size_t i = 0; i < std::min<size_t>(info.nr_map_ids, kMostMaps); ++i) {
    bpf_attr map_by_id{};
    map_by_id.map_id = maps[i];
    UniqueFd map(CallBpf(BPF_MAP_GET_FD_BY_ID, &map_by_id));
    if (!map) return FailErrno("bpf map");
    bpf_map_info of_map{};
    KATA_TRY(ReadInfo(map.get(), &of_map));
    if (of_map.name == name) return map;
  }
  return Fail(Code::kNotFound, fmt::format("the BPF program has no map \"{}\"", name));
}

Result<uint64_t> ReadBpfCounter(int map, uint32_t key) {
  uint64_t value = 0;
  bpf_attr look{};
  look.map_fd = static_cast<uint32_t>(map);
  look.key = reinterpret_cast<uint64_t>(&key);
  look.value = reinterpret_cast<uint64_t>(&value);
  if (CallBpf(BPF_MAP_LOOKUP_ELEM, &look) != 0) return FailErrno("read a BPF map");
  return value;
}

Result<int32_t> TryBpfProgram(int program, std::string_view packet) {
  bpf_attr test{};
  test.test.prog_fd = static_cast<uint32_t>(program);
  test.test.data_in = reinterpret_cast<uint64_t>(packet.data());
  test.test.data_size_in = static_cast<uint32_t>(packet.size());
  if (CallBpf(BPF_PROG_TEST_RUN, &test) != 0) return FailErrno("try a BPF program");
  return static_cast<int32_t>(test.test.retval);
}

}  // namespace kata::sys
