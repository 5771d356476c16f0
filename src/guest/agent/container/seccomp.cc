// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "guest/agent/container/seccomp_stub.h"
#include "sys/fd.h"

namespace kata::guest {
namespace {

using Context = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

template <class Value>
struct NamedValue {
  std::string_view word;
  Value value;
};

constexpr NamedValue<uint32_t> kArchitectures[] = {
    {"SCMP_ARCH_X86", SCMP_ARCH_X86},
    {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
    {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
    {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
    {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
    {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
    {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
    {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
    {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
    {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
    {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
    {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
    {"SCMP_ARCH_S390", SCMP_ARCH_S390},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
};

constexpr NamedValue<scmp_compare> kOperators[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE},
    {"SCMP_CMP_LT", SCMP_CMP_LT},
    {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE},
    {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

// The last one is about listeners, of which there are none.
constexpr NamedValue<unsigned> kSeccompFlags[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0},
};

std::unexpected<Error> Refuse(std::string_view what, std::string_view word) {
  return Fail(Code::kInvalidArgument, fmt::format("seccomp: {} \"{}\"", what, word.substr(0, 60)));
}

std::unexpected<Error> FailCall(std::string_view what, int result) {
  return std::unexpected(Error::FromErrno(fmt::format("seccomp: {}", what), "", -result));
}

template <class Value, size_t kSize>
Result<Value> FindValue(const NamedValue<Value> (&words)[kSize], std::string_view what,
                        std::string_view word) {
  for (const NamedValue<Value>& entry : words) {
    if (entry.word == word) return entry.value;
  }
  return Refuse(what, word);
}

Result<uint32_t> ParseAction(std::string_view action, uint32_t error_number) {
  if (action == "SCMP_ACT_KILL" || action == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (action == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (action == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (action == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(error_number);
  if (action == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(error_number);
  if (action == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (action == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (action == "SCMP_ACT_NOTIFY") {
    return Fail(Code::kUnimplemented, "seccomp: SCMP_ACT_NOTIFY is not supported");
  }
  return Refuse("unknown action", action);
}

Result<void> AddRule(scmp_filter_ctx context, int call, uint32_t action,
                     const std::vector<scmp_arg_cmp>& conditions, std::string_view name) {
  const int result = ::seccomp_rule_add_array(
      context, action, call, static_cast<unsigned>(conditions.size()), conditions.data());
  // The profile may say a thing twice.
  if (result != 0 && result != -EEXIST) return FailCall(fmt::format("rule for {}", name), result);
  return {};
}

Result<void> AddRules(scmp_filter_ctx context, const oci::LinuxSyscall& rule,
                      uint32_t default_action) {
  const uint32_t action =
      KATA_TRY(ParseAction(rule.action(), rule.has_errnoret() ? rule.errnoret() : EPERM));
  if (action == default_action) return {};
  std::vector<scmp_arg_cmp> conditions;
  bool repeated = false;
  for (const oci::LinuxSeccompArg& arg : rule.args()) {
    if (arg.index() > 5) return Refuse("argument index", fmt::to_string(arg.index()));
    const unsigned index = static_cast<unsigned>(arg.index());
    repeated |= std::ranges::any_of(conditions, [&](const auto& c) { return c.arg == index; });
    conditions.push_back({.arg = index,
                          .op = KATA_TRY(FindValue(kOperators, "unknown operator", arg.op())),
                          .datum_a = arg.value(),
                          .datum_b = arg.value_two()});
  }
  for (const std::string& name : rule.names()) {
    const int call = ::seccomp_syscall_resolve_name(name.c_str());
    if (call == __NR_SCMP_ERROR) continue;
    if (!repeated) {
      KATA_TRY(AddRule(context, call, action, conditions, name));
      continue;
    }
    for (const scmp_arg_cmp& condition : conditions) {
      KATA_TRY(AddRule(context, call, action, {condition}, name));
    }
  }
  return {};
}

// The program of `context`, behind `program`.
Result<void> Export(scmp_filter_ctx context, std::vector<sock_filter>* program) {
  const sys::UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return FailErrno("memfd_create");
  if (const int result = ::seccomp_export_bpf(context, file.get()); result != 0) {
    return FailCall("compile", result);
  }
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  if (size <= 0 || static_cast<size_t>(size) % sizeof(sock_filter) != 0) {
    return Fail(Code::kInternal, "seccomp: the compiled program has no size");
  }
  const size_t before = program->size();
  program->resize(before + static_cast<size_t>(size) / sizeof(sock_filter));
  if (::pread(file.get(), program->data() + before, static_cast<size_t>(size), 0) != size) {
    return FailErrno("read", "seccomp program");
  }
  if (program->size() > BPF_MAXINSNS) {
    return Fail(Code::kInvalidArgument, fmt::format("seccomp: {} instructions, the kernel takes {}",
                                                    program->size(), BPF_MAXINSNS));
  }
  return {};
}

// The highest number that each architecture has for any system call of the profile.
std::vector<NewestCall> NewestCalls(const oci::LinuxSeccomp& seccomp,
                                    const std::vector<uint32_t>& architectures) {
  std::vector<NewestCall> newest;
  for (const uint32_t architecture : architectures) {
    int highest = -1;
    for (const oci::LinuxSyscall& rule : seccomp.syscalls()) {
      for (const std::string& name : rule.names()) {
        highest =
            std::max(highest, ::seccomp_syscall_resolve_name_arch(architecture, name.c_str()));
      }
    }
    if (highest >= 0) newest.push_back({architecture, static_cast<uint32_t>(highest)});
  }
  return newest;
}

}  // namespace

Result<SeccompFilter> CompileSeccomp(const oci::LinuxSeccomp& seccomp) {
  const uint32_t default_action =
      KATA_TRY(ParseAction(seccomp.default_action(),
                           seccomp.has_default_errno_ret() ? seccomp.default_errno_ret() : EPERM));
  const Context context(::seccomp_init(default_action), [](scmp_filter_ctx c) {
    if (c != nullptr) ::seccomp_release(c);
  });
  if (!context) return Refuse("action", seccomp.default_action());
  std::vector<uint32_t> architectures{::seccomp_arch_native()};
  for (const std::string& name : seccomp.architectures()) {
    const uint32_t architecture = KATA_TRY(FindValue(kArchitectures, "unknown architecture", name));
    if (std::ranges::find(architectures, architecture) != architectures.end()) continue;
    // One of another byte order cannot run here, so nothing has to be filtered for it.
    const int added = ::seccomp_arch_add(context.get(), architecture);
    if (added == -EEXIST || added == -EDOM) continue;
    if (added != 0) return FailCall(fmt::format("architecture {}", name), added);
    architectures.push_back(architecture);
  }
  for (const oci::LinuxSyscall& rule : seccomp.syscalls()) {
    KATA_TRY(AddRules(context.get(), rule, default_action));
  }
  SeccompFilter filter;
  const bool refuses = seccomp.default_action() != "SCMP_ACT_ALLOW" &&
                       seccomp.default_action() != "SCMP_ACT_LOG" &&
                       seccomp.default_action() != "SCMP_ACT_TRACE";
  if (refuses) filter.program = PlanNewerCalls(NewestCalls(seccomp, architectures));
  KATA_TRY(Export(context.get(), &filter.program));
  if (seccomp.flags().empty()) filter.flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  for (const std::string& flag : seccomp.flags()) {
    filter.flags |= KATA_TRY(FindValue(kSeccompFlags, "unknown flag", flag));
  }
  return filter;
}

Result<void> LoadSeccomp(const SeccompFilter& filter) {
  const sock_fprog program{.len = static_cast<unsigned short>(filter.program.size()),
                           .filter = const_cast<sock_filter*>(filter.program.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &program) != 0) {
    return FailErrno("load the seccomp filter");
  }
  return {};
}

}  // namespace kata::guest
