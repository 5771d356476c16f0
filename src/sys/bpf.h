// SPDX-License-Identifier: Apache-2.0
//
// sys/bpf.h - BPF programs that are put together here, their maps, and how to find those of others.
//
// There is no compiler and no library: a program is a list of instructions with labels.
// Basis: bpf(2); kernel Documentation/bpf/standardization/instruction-set.rst, linux/bpf.h.
#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::sys {

// Jumps go forward only. What no jump and no instruction leads to is left out, because the kernel
// refuses programs that have such.
class BpfAssembler {
 public:
  enum class Label : size_t {};

  Label NewLabel();
  void Bind(Label label);
  // Whether what is added now can be reached.
  bool reachable() const { return reachable_; }

  void Set(int target, int32_t value);
  void Copy(int target, int source);
  // BPF_ADD, BPF_AND, BPF_LSH, ... with a number or a register, of 64 bits.
  void Do(int operation, int target, int32_t value);
  void DoRegister(int operation, int target, int source);
  // BPF_B, BPF_H, BPF_W, BPF_DW at `offset` from the address in a register.
  void Load(int size, int target, int base, int offset);
  void Store(int size, int base, int offset, int source);
  // Of 64 bits, to what is at the address in a register.
  void AddAtomically(int base, int source);
  void StoreNumber(int size, int base, int offset, int32_t value);
  // A number of the network's as one of this machine's.
  void FromNetwork(int target, int bits);
  // BPF_JEQ, BPF_JNE, BPF_JLT, ... of the register's lower 32 bits.
  void JumpIf(int condition, int reg, uint32_t value, Label label);
  // Where all 64 bits of the register are zero, such as an address that is none.
  void JumpIfZero(int reg, Label label);
  void Jump(Label label);
  void Map(int target, int fd);
  void Call(int helper);
  void Return(int32_t value);

  // Every label that was used is bound by then. Errors  kResourceExhausted  a jump is too far
  Result<std::vector<bpf_insn>> Finish();

 private:
  struct Fix {
    size_t at;
    size_t label;
  };
  void Add(int code, int target, int source, int offset, int32_t immediate);
  void Use(Label label);

  std::vector<bpf_insn> program_;
  std::vector<ptrdiff_t> bound_;  // -1: not yet
  std::vector<bool> used_;
  std::vector<Fix> fixes_;
  bool reachable_ = true;
};

// Errors  kUnimplemented     the kernel has no such maps or programs
//         kPermissionDenied  CAP_BPF or CAP_NET_ADMIN is missing
Result<UniqueFd> MakeBpfMap(bpf_map_type type, const char* name, uint32_t key_size,
                            uint32_t value_size, uint32_t entries);
Result<UniqueFd> LoadBpfProgram(bpf_prog_type type, const char* name,
                                std::span<const bpf_insn> program);

// The map called `name` that the program with the number `program` uses.
// Errors  kNotFound
Result<UniqueFd> FindBpfMap(uint32_t program, std::string_view name);
// Of a map with numbers of 64 bits by numbers of 32.
Result<uint64_t> ReadBpfCounter(int map, uint32_t key);

// What a program of packets says of `packet`, without a device. For tests.
Result<int32_t> TryBpfProgram(int program, std::string_view packet);

}  // namespace kata::sys
