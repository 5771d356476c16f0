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

void ReadScheduler(const Node& node, Scheduler* scheduler) {
  node.Set("policy", scheduler->mutable_policy());
  node.Set("nice", scheduler, &Scheduler::set_nice);
  node.Set("priority", scheduler, &Scheduler::set_priority);
  node.Set("flags", scheduler->mutable_flags());
  node.Set("runtime", scheduler, &Scheduler::set_runtime);
  node.Set("deadline", scheduler, &Scheduler::set_deadline);
  node.Set("period", scheduler, &Scheduler::set_period);
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
  node.Object("scheduler", [&](const Node& n) { ReadScheduler(n, process->mutable_scheduler()); });
  node.Object("ioPriority", [&](const Node& n) {
    n.Set("class", process->mutable_io_priority()->mutable_class_());
    n.Set("priority", process->mutable_io_priority(), &IoPriority::set_priority);
  });
  node.Object("execCPUAffinity", [&](const Node& n) {
    n.Set("initial", process->mutable_exec_cpu_affinity()->mutable_initial());
    n.Set("final", process->mutable_exec_cpu_affinity()->mutable_final());
  });
}

}  // namespace kata::oci
