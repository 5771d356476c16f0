// SPDX-License-Identifier: Apache-2.0
#include "oci/readers.h"

namespace kata::oci {
namespace {

void ReadSyscall(const Node& node, LinuxSyscall* syscall) {
  node.Set("names", syscall->mutable_names());
  node.Set("action", syscall->mutable_action());
  node.Set("errnoRet", syscall, &LinuxSyscall::set_errnoret);
  node.Each("args", [&](const Node& n) {
    LinuxSeccompArg* arg = syscall->add_args();
    n.Set("index", arg, &LinuxSeccompArg::set_index);
    n.Set("value", arg, &LinuxSeccompArg::set_value);
    n.Set("valueTwo", arg, &LinuxSeccompArg::set_value_two);
    n.Set("op", arg->mutable_op());
  });
}

}  // namespace

void ReadSeccomp(const Node& node, LinuxSeccomp* seccomp) {
  node.Set("defaultAction", seccomp->mutable_default_action());
  node.Set("architectures", seccomp->mutable_architectures());
  node.Set("flags", seccomp->mutable_flags());
  node.Each("syscalls", [&](const Node& n) { ReadSyscall(n, seccomp->add_syscalls()); });
  node.Set("defaultErrnoRet", seccomp, &LinuxSeccomp::set_default_errno_ret);
  node.NoteUnsupported("listenerPath", "it is for SCMP_ACT_NOTIFY, which is refused");
  node.NoteUnsupported("listenerMetadata", "it is for a listener, and there is none");
}

}  // namespace kata::oci
