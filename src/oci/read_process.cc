// SPDX-License-Identifier: Apache-2.0
#include "oci/readers.h"

namespace kata::oci {
namespace {

void ReadUser(const Node& node, User* user) {
  node.Set("uid", user, &User::set_uid);
  node.Set("gid", user, &User::set_gid);
  node.Set("additionalGids", user->mutable_additional_gids());
  node.Set("username", user->mutable_username());
  node.Set("umask", user, &User::set_umask);
}

void ReadCapabilities(const Node& node, LinuxCapabilities* capabilities) {
  node.Set("bounding", capabilities->mutable_bounding());
  node.Set("effective", capabilities->mutable_effective());
  node.Set("inheritable", capabilities->mutable_inheritable());
  node.Set("permitted", capabilities->mutable_permitted());
  node.Set("ambient", capabilities->mutable_ambient());
}

void ReadRlimit(const Node& node, POSIXRlimit* rlimit) {
  node.Set("type", rlimit->mutable_type());
  node.Set("hard", rlimit, &POSIXRlimit::set_hard);
  node.Set("soft", rlimit, &POSIXRlimit::set_soft);
}

}  // namespace

void ReadProcess(const Node& node, Process* process) {
  node.Set("terminal", process, &Process::set_terminal);
  node.Object("consoleSize", [&](const Node& n) {
    n.Set("height", process->mutable_console_size(), &Box::set_height);
    n.Set("width", process->mutable_console_size(), &Box::set_width);
  });
  node.Object("user", [&](const Node& n) { ReadUser(n, process->mutable_user()); });
  node.Set("args", process->mutable_args());
  node.Set("env", process->mutable_env());
  node.Set("cwd", process->mutable_cwd());
  node.Object("capabilities",
              [&](const Node& n) { ReadCapabilities(n, process->mutable_capabilities()); });
  node.Each("rlimits", [&](const Node& n) { ReadRlimit(n, process->add_rlimits()); });
  node.Set("noNewPrivileges", process, &Process::set_no_new_privileges);
  node.Set("apparmorProfile", process->mutable_apparmor_profile());
  node.Set("oomScoreAdj", process, &Process::set_oom_score_adj);
  node.Set("selinuxLabel", process->mutable_selinux_label());
  node.NoteUnsupported("commandLine", "it is for Windows containers");
  node.NoteUnsupported("scheduler", "the guest uses its default scheduling policy");
  node.NoteUnsupported("ioPriority", "the guest uses its default I/O priority");
  node.NoteUnsupported("execCPUAffinity", "processes may run on every processor of the guest");
}

}  // namespace kata::oci
