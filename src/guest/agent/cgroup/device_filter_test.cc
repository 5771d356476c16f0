// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/device_filter.h"

#include <array>
#include <string_view>

#include <gtest/gtest.h>

namespace kata::guest {
namespace {

// Executes the few instructions that the generator uses.
uint64_t Execute(const std::vector<bpf_insn>& program, const bpf_cgroup_dev_ctx& context) {
  std::array<uint64_t, 11> r{};
  const uint32_t words[] = {context.access_type, context.major, context.minor};
  for (size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& i = program[at];
    uint64_t& to = r.at(i.dst_reg);
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        to = words[i.off / 4];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        to = static_cast<uint64_t>(i.imm);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_X:
        to = r.at(i.src_reg);
        break;
      case BPF_ALU64 | BPF_AND | BPF_K:
        to &= static_cast<uint64_t>(i.imm);
        break;
      case BPF_ALU64 | BPF_RSH | BPF_K:
        to >>= i.imm;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        if (to != static_cast<uint64_t>(i.imm)) at += static_cast<size_t>(i.off);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        if (to == static_cast<uint64_t>(i.imm)) at += static_cast<size_t>(i.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return r[0];
      default:
        ADD_FAILURE() << "instruction " << int{i.code};
        return 99;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 99;
}

class Rules {
 public:
  Rules& Add(bool allow, const char* type, int64_t major, int64_t minor, const char* access) {
    oci::LinuxDeviceCgroup* rule = rules_.Add();
    rule->set_allow(allow);
    rule->set_type(type);
    rule->set_major(major);
    rule->set_minor(minor);
    rule->set_access(access);
    return *this;
  }
  Rules& DenyAll() { return Add(false, "a", -1, -1, "rwm"); }

  bool Allows(char type, uint32_t major, uint32_t minor, std::string_view access) const {
    uint32_t bits = 0;
    for (const char c : access) {
      bits |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
    }
    const uint32_t kind = type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
    return Execute(*MakeDeviceFilter(rules_),
                   {.access_type = (bits << 16) | kind, .major = major, .minor = minor}) == 1;
  }
  const DeviceRules& list() const { return rules_; }

 private:
  DeviceRules rules_;
};

TEST(DeviceFilter, AllowsTheUsualDevicesWithoutAnyRule) {
  const Rules rules;
  EXPECT_TRUE(rules.Allows('c', 1, 3, "rw"));
  EXPECT_TRUE(rules.Allows('c', 5, 2, "rw"));
  EXPECT_TRUE(rules.Allows('c', 136, 77, "rw"));
  EXPECT_TRUE(rules.Allows('b', 252, 0, "m"));
  EXPECT_FALSE(rules.Allows('b', 252, 0, "r"));
  EXPECT_FALSE(rules.Allows('c', 1, 1, "r"));
  EXPECT_FALSE(rules.Allows('b', 1, 3, "r"));
}

TEST(DeviceFilter, KeepsTheUsualDevicesWhenAllIsDenied) {
  Rules rules;
  rules.DenyAll();
  EXPECT_TRUE(rules.Allows('c', 1, 3, "rw"));
  EXPECT_FALSE(rules.Allows('c', 10, 200, "rw"));
}

TEST(DeviceFilter, TheLastRuleDecides) {
  Rules rules;
  rules.DenyAll().Add(true, "c", 10, 200, "rwm");
  EXPECT_TRUE(rules.Allows('c', 10, 200, "rw"));
  EXPECT_FALSE(rules.Allows('c', 10, 201, "rw"));
  rules.Add(false, "c", 10, -1, "w");
  EXPECT_TRUE(rules.Allows('c', 10, 200, "r"));
  EXPECT_FALSE(rules.Allows('c', 10, 200, "w"));
  EXPECT_FALSE(rules.Allows('c', 10, 200, "rw"));
}

TEST(DeviceFilter, AnAllowingRuleMustCoverAllOfAnAccess) {
  Rules rules;
  rules.DenyAll().Add(true, "b", 8, 0, "r");
  EXPECT_TRUE(rules.Allows('b', 8, 0, "r"));
  EXPECT_FALSE(rules.Allows('b', 8, 0, "rw"));
}

TEST(DeviceFilter, MinusOneStandsForEveryNumber) {
  Rules rules;
  rules.DenyAll().Add(true, "b", 8, -1, "rwm").Add(true, "c", -1, 5, "r");
  EXPECT_TRUE(rules.Allows('b', 8, 1234, "rw"));
  EXPECT_FALSE(rules.Allows('b', 9, 0, "rw"));
  EXPECT_TRUE(rules.Allows('c', 99, 5, "r"));
}

TEST(DeviceFilter, EverythingIsAllowedToThePrivileged) {
  Rules rules;
  rules.DenyAll().Add(true, "a", -1, -1, "rwm");
  EXPECT_TRUE(rules.Allows('b', 8, 0, "rwm"));
  EXPECT_TRUE(rules.Allows('c', 1, 1, "rw"));
}

TEST(DeviceFilter, HasNoInstructionThatCannotBeReached) {
  Rules rules;
  rules.Add(true, "b", 8, 0, "r").DenyAll();
  const auto program = *MakeDeviceFilter(rules.list());
  // Nothing after the rule that speaks of everything: its two instructions are the last.
  EXPECT_EQ(program.back().code, BPF_JMP | BPF_EXIT);
  EXPECT_EQ(program[program.size() - 2].imm, 0);
  EXPECT_EQ(program.size(), MakeDeviceFilter(Rules().DenyAll().list())->size());
}

TEST(DeviceFilter, RefusesRulesThatItDoesNotUnderstand) {
  EXPECT_FALSE(MakeDeviceFilter(Rules().Add(true, "x", 1, 1, "r").list()));
  EXPECT_FALSE(MakeDeviceFilter(Rules().Add(true, "c", -2, 1, "r").list()));
  EXPECT_FALSE(MakeDeviceFilter(Rules().Add(true, "c", 1, int64_t{1} << 40, "r").list()));
  EXPECT_FALSE(MakeDeviceFilter(Rules().Add(true, "c", 1, 1, "rx").list()));
  Rules many;
  for (int i = 0; i < 1025; ++i) many.Add(true, "c", 1, i, "r");
  EXPECT_EQ(MakeDeviceFilter(many.list()).error().code(), Code::kOutOfRange);
}

}  // namespace
}  // namespace kata::guest
