// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/device_filter.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include <fmt/format.h>

namespace kata::guest {
namespace {

// Registers of the program: the context's fields, read once.
constexpr uint8_t kResult = BPF_REG_0;
constexpr uint8_t kContext = BPF_REG_1;
constexpr uint8_t kType = BPF_REG_2;
constexpr uint8_t kAccess = BPF_REG_3;
constexpr uint8_t kMajor = BPF_REG_4;
constexpr uint8_t kMinor = BPF_REG_5;
constexpr uint8_t kScratch = BPF_REG_6;

constexpr uint32_t kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;
constexpr int kMaxRules = 1024;

bpf_insn Instruction(int code, uint8_t to, uint8_t from, int offset, int32_t immediate) {
  bpf_insn instruction{};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = to & 0xf;
  instruction.src_reg = from & 0xf;
  instruction.off = static_cast<int16_t>(offset);
  instruction.imm = immediate;
  return instruction;
}

bpf_insn LoadWord(uint8_t to, size_t offset) {
  return Instruction(BPF_LDX | BPF_MEM | BPF_W, to, kContext, static_cast<int>(offset), 0);
}
bpf_insn Set(uint8_t to, int32_t value) {
  return Instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
}
bpf_insn JumpUnless(uint8_t reg, int32_t equal) {
  return Instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, equal);
}

Result<uint32_t> ParseAccess(const std::string& access) {
  if (access.empty()) return kAllAccess;
  uint32_t bits = 0;
  for (const char c : access) {
    if (c == 'r') {
      bits |= BPF_DEVCG_ACC_READ;
    } else if (c == 'w') {
      bits |= BPF_DEVCG_ACC_WRITE;
    } else if (c == 'm') {
      bits |= BPF_DEVCG_ACC_MKNOD;
    } else if (c != 'a' || access.size() == 1) {
      return Fail(Code::kInvalidArgument, fmt::format("device rule: access \"{}\"", access));
    }
  }
  return bits;
}

// Appends the code for one rule: leaves the program with the rule's verdict where it speaks of the
// access, falls through to what follows where it does not. Returns whether it speaks of every
// access: the kernel refuses programs with code that cannot be reached.
Result<bool> AppendRule(const oci::LinuxDeviceCgroup& rule, std::vector<bpf_insn>* program) {
  const uint32_t access = KATA_TRY(ParseAccess(rule.access()));
  // Upstream's protocol knows no "unset" for numbers other than -1.
  const auto in_range = [](int64_t number) { return number >= -1 && number <= INT32_MAX; };
  if (!in_range(rule.major()) || !in_range(rule.minor())) {
    return Fail(Code::kInvalidArgument,
                fmt::format("device rule: numbers {}:{}", rule.major(), rule.minor()));
  }
  std::vector<bpf_insn> code;
  std::vector<size_t> exits;  // jumps to the end of the rule
  const auto unless = [&](uint8_t reg, int64_t equal) {
    exits.push_back(code.size());
    code.push_back(JumpUnless(reg, static_cast<int32_t>(equal)));
  };
  if (rule.type() == "b" || rule.type() == "c") {
    unless(kType, rule.type() == "b" ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (rule.major() != -1) unless(kMajor, rule.major());
    if (rule.minor() != -1) unless(kMinor, rule.minor());
  } else if (rule.type() != "a" && !rule.type().empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("device rule: type \"{}\"", rule.type()));
  }
  if (access != kAllAccess) {
    // scratch = access, reduced to what an allowing rule does not cover or a denying one forbids.
    code.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, kScratch, kAccess, 0, 0));
    code.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, kScratch, 0, 0,
                               static_cast<int32_t>(rule.allow() ? kAllAccess & ~access : access)));
    if (rule.allow()) {
      unless(kScratch, 0);
    } else {
      exits.push_back(code.size());
      code.push_back(Instruction(BPF_JMP | BPF_JEQ | BPF_K, kScratch, 0, 0, 0));
    }
  }
  code.push_back(Set(kResult, rule.allow() ? 1 : 0));
  code.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  for (const size_t at : exits) code[at].off = static_cast<int16_t>(code.size() - at - 1);
  program->insert(program->end(), code.begin(), code.end());
  return exits.empty();
}

void AddRule(DeviceRules* rules, const char* type, int64_t major_number, int64_t minor_number,
             const char* access) {
  oci::LinuxDeviceCgroup* rule = rules->Add();
  rule->set_allow(true);
  rule->set_type(type);
  rule->set_major(major_number);
  rule->set_minor(minor_number);
  rule->set_access(access);
}

long Bpf(int command, bpf_attr* attributes) {
  return ::syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

}  // namespace

const DeviceRules& DefaultDeviceRules() {
  static const DeviceRules rules = [] {
    DeviceRules made;
    AddRule(&made, "c", -1, -1, "m");
    AddRule(&made, "b", -1, -1, "m");
    for (const int minor_number : {3, 5, 7, 8, 9}) AddRule(&made, "c", 1, minor_number, "rwm");
    AddRule(&made, "c", 5, 0, "rwm");
    AddRule(&made, "c", 5, 2, "rwm");
    AddRule(&made, "c", 136, -1, "rwm");
    return made;
  }();
  return rules;
}

Result<std::vector<bpf_insn>> MakeDeviceFilter(const DeviceRules& rules) {
  if (rules.size() > kMaxRules) {
    return Fail(Code::kOutOfRange, fmt::format("more than {} device rules", kMaxRules));
  }
  std::vector<bpf_insn> program;
  // access_type holds the kind of device in its lower half and the access in its upper half.
  program.push_back(LoadWord(kType, offsetof(bpf_cgroup_dev_ctx, access_type)));
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, kAccess, kType, 0, 0));
  program.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, kType, 0, 0, 0xffff));
  program.push_back(Instruction(BPF_ALU64 | BPF_RSH | BPF_K, kAccess, 0, 0, 16));
  program.push_back(LoadWord(kMajor, offsetof(bpf_cgroup_dev_ctx, major)));
  program.push_back(LoadWord(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)));
  // The last rule decides, so it is asked first.
  for (const DeviceRules* list : {&DefaultDeviceRules(), &rules}) {
    for (auto rule = list->rbegin(); rule != list->rend(); ++rule) {
      if (KATA_TRY(AppendRule(*rule, &program))) return program;
    }
  }
  program.push_back(Set(kResult, 0));
  program.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return program;
}

Result<sys::UniqueFd> AttachDeviceFilter(int cgroup_fd, const std::vector<bpf_insn>& program,
                                         const sys::UniqueFd& previous) {
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr load;
  std::memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<uintptr_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uintptr_t>(kLicense);
  sys::UniqueFd loaded(static_cast<int>(Bpf(BPF_PROG_LOAD, &load)));
  if (!loaded) return FailErrno("load the device filter");

  bpf_attr attach;
  std::memset(&attach, 0, sizeof attach);
  attach.target_fd = static_cast<uint32_t>(cgroup_fd);
  attach.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, &attach) != 0) return FailErrno("attach the device filter");
  if (previous) {
    attach.attach_bpf_fd = static_cast<uint32_t>(previous.get());
    attach.attach_flags = 0;
    if (Bpf(BPF_PROG_DETACH, &attach) != 0) return FailErrno("detach the old device filter");
  }
  return loaded;
}

}  // namespace kata::guest
