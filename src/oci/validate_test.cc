// SPDX-License-Identifier: Apache-2.0
#include "oci/validate.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::oci {
namespace {

using testing::HasSubstr;

Spec GoodSpec() {
  Spec spec;
  spec.set_version("1.1.0");
  spec.mutable_process()->add_args("sh");
  spec.mutable_process()->set_cwd("/");
  spec.mutable_process()->add_env("PATH=/bin");
  spec.mutable_root()->set_path("rootfs");
  spec.add_mounts()->set_destination("/proc");
  spec.mutable_linux()->add_namespaces()->set_type("mount");
  return spec;
}

TEST(ValidateSpec, AcceptsAnOrdinaryContainer) {
  const auto result = ValidateSpec(GoodSpec());
  EXPECT_TRUE(result) << result.error().message();
}

TEST(ValidateSpec, NamesThePlaceOfEveryProblem) {
  const struct {
    std::function<void(Spec&)> spoil;
    const char* message;
  } cases[] = {
      {[](Spec& s) { s.clear_version(); }, "ociVersion: is missing"},
      {[](Spec& s) { s.set_version("2.0.0"); }, "ociVersion: \"2.0.0\" is not supported"},
      {[](Spec& s) { s.clear_process(); }, "process: is missing"},
      {[](Spec& s) { s.mutable_process()->clear_args(); }, "process.args: is empty"},
      {[](Spec& s) { s.mutable_process()->set_cwd("tmp"); },
       "process.cwd: \"tmp\" is not an absolute path"},
      {[](Spec& s) { s.mutable_process()->clear_cwd(); }, "process.cwd: is missing"},
      {[](Spec& s) { s.mutable_process()->set_cwd("/proc/self/fd/7"); },
       "process.cwd: \"/proc/self/fd/7\" leads through an open file"},
      {[](Spec& s) { s.mutable_process()->set_cwd("/proc//1/fd/7/../.."); }, "process.cwd"},
      {[](Spec& s) { s.mutable_process()->add_env("FOO"); },
       "process.env[1]: \"FOO\" is not of the form NAME=VALUE"},
      {[](Spec& s) { s.mutable_process()->add_env("=x"); }, "process.env[1]"},
      {[](Spec& s) { s.mutable_process()->add_rlimits()->set_type("RLIMIT_FUN"); },
       "process.rlimits[0].type: \"RLIMIT_FUN\""},
      {[](Spec& s) {
         for (int i = 0; i < 2; ++i) s.mutable_process()->add_rlimits()->set_type("RLIMIT_CORE");
       },
       "process.rlimits[1].type: \"RLIMIT_CORE\" is there twice"},
      {[](Spec& s) {
         auto* rlimit = s.mutable_process()->add_rlimits();
         rlimit->set_type("RLIMIT_NOFILE");
         rlimit->set_soft(2);
         rlimit->set_hard(1);
       },
       "process.rlimits[0]: soft limit 2 is above hard limit 1"},
      {[](Spec& s) { s.mutable_root()->clear_path(); }, "root.path: is missing"},
      {[](Spec& s) { s.set_hostname(std::string(65, 'h')); }, "hostname: "},
      {[](Spec& s) { s.add_mounts()->set_destination("data"); },
       "mounts[1].destination: \"data\" is not an absolute path"},
      {[](Spec& s) { s.mutable_hooks()->add_poststop()->set_path("true"); },
       "hooks.poststop[0].path: \"true\" is not an absolute path"},
      {[](Spec& s) { s.mutable_linux()->add_namespaces()->set_type("magic"); },
       "linux.namespaces[1].type: \"magic\" is none of pid,"},
      {[](Spec& s) { s.mutable_linux()->add_namespaces()->set_type("mount"); },
       "linux.namespaces[1].type: \"mount\" is there twice"},
      {[](Spec& s) {
         auto* device = s.mutable_linux()->add_devices();
         device->set_path("/dev/x");
         device->set_type("z");
       },
       "linux.devices[0].type: \"z\" is none of c, b, u, p"},
      {[](Spec& s) { s.mutable_linux()->set_rootfs_propagation("loud"); },
       "linux.rootfsPropagation: \"loud\""},
      {[](Spec& s) { s.mutable_linux()->mutable_resources()->mutable_memory()->set_limit(-2); },
       "linux.resources: memory.limit: -2 is neither a limit nor -1"},
      {[](Spec& s) { s.mutable_linux()->mutable_resources()->mutable_cpu()->set_quota(10); },
       "linux.resources: cpu.quota: 10"},
      {[](Spec& s) { s.mutable_linux()->mutable_resources()->mutable_cpu()->set_period(1); },
       "linux.resources: cpu.period: 1 is outside 1000 to 1000000"},
      {[](Spec& s) {
         auto* memory = s.mutable_linux()->mutable_resources()->mutable_memory();
         memory->set_limit(100);
         memory->set_swap(50);
       },
       "memory.swap: 50 is below memory.limit 100"},
      {[](Spec& s) { s.mutable_process()->set_oom_score_adj(1001); },
       "process.oomScoreAdj: 1001 is outside"},
      {[](Spec& s) { s.mutable_process()->mutable_scheduler()->set_policy("SCHED_MAGIC"); },
       "process.scheduler.policy: \"SCHED_MAGIC\" is none of"},
      {[](Spec& s) {
         s.mutable_process()->mutable_scheduler()->set_policy("SCHED_OTHER");
         s.mutable_process()->mutable_scheduler()->set_priority(3);
       },
       "process.scheduler.priority: is for SCHED_FIFO"},
      {[](Spec& s) { s.mutable_process()->mutable_io_priority()->set_class_("LOW"); },
       "process.ioPriority.class: \"LOW\" is none of"},
      {[](Spec& s) { s.mutable_process()->mutable_exec_cpu_affinity()->set_initial("1-"); },
       "process.execCPUAffinity.initial: \"1-\" is not a list"},
      {[](Spec& s) { s.mutable_linux()->mutable_memory_policy(); },
       "linux.memoryPolicy: invalid memory policy mode: \"\""},
      {[](Spec& s) {
         s.mutable_linux()->mutable_memory_policy()->set_mode("MPOL_BIND");
         s.mutable_linux()->mutable_memory_policy()->set_nodes("0-9876543210");
       },
       "linux.memoryPolicy: invalid memory policy node: \"0-9876543210\""},
      {[](Spec& s) {
         s.mutable_linux()->mutable_memory_policy()->set_mode("MPOL_PREFERRED");
         s.mutable_linux()->mutable_memory_policy()->add_flags("badflag");
       },
       "linux.memoryPolicy: invalid memory policy flag: \"badflag\""},
      {[](Spec& s) {
         s.mutable_linux()->mutable_memory_policy()->set_mode("MPOL_LOCAL");
         s.mutable_linux()->mutable_memory_policy()->set_nodes("0");
       },
       "linux.memoryPolicy: MPOL_LOCAL has no nodes"},
      {[](Spec& s) { s.mutable_mounts(0)->add_uid_mappings(); },
       "mounts[0].uidMappings[0]: is not a range"},
      {[](Spec& s) { s.mutable_mounts(0)->add_uid_mappings()->set_size(1); },
       "mounts[0]: has one of uidMappings and gidMappings"},
      {[](Spec& s) { s.mutable_mounts(0)->add_options("ridmap"); },
       "mounts[0]: option \"ridmap\" without uidMappings"},
      {[](Spec& s) { s.mutable_mounts(0)->add_options("idmap=uids=0-1-10"); },
       "mounts[0]: option \"idmap=uids=0-1-10\": use uidMappings"},
      {[](Spec& s) { s.mutable_linux()->add_uid_mappings()->set_size(1); },
       "linux.uidMappings: needs a user namespace"},
      {[](Spec& s) { (*s.mutable_linux()->mutable_time_offsets())["boottime"].set_secs(1); },
       "linux.timeOffsets: needs a time namespace"},
      {[](Spec& s) { s.mutable_linux()->mutable_personality()->set_domain("BSD"); },
       "linux.personality.domain: \"BSD\""},
      {[](Spec& s) { (*s.mutable_linux()->mutable_sysctl())["kernel.hostname"] = "x"; },
       "linux.sysctl.kernel.hostname: is what \"hostname\" sets"},
      {[](Spec& s) {
         s.mutable_linux()->clear_namespaces();
         (*s.mutable_linux()->mutable_sysctl())["fs/mqueue/queues_max"] = "100";
       },
       "linux.sysctl.fs/mqueue/queues_max: needs an ipc namespace"},
      {[](Spec& s) {
         s.mutable_linux()->clear_namespaces();
         (*s.mutable_linux()->mutable_sysctl())["kernel.msgmax"] = "8192";
       },
       "linux.sysctl.kernel.msgmax: needs an ipc namespace"},
      {[](Spec& s) {
         s.mutable_linux()->clear_namespaces();
         (*s.mutable_linux()->mutable_sysctl())["net.ipv4.ip_forward"] = "1";
       },
       "linux.sysctl.net.ipv4.ip_forward: is the host's"},
      {[](Spec& s) {
         s.mutable_linux()->clear_namespaces();
         (*s.mutable_linux()->mutable_sysctl())["kernel.domainname"] = "x";
       },
       "linux.sysctl.kernel.domainname: needs a uts namespace"},
      {[](Spec& s) { s.mutable_linux()->mutable_seccomp()->set_default_action("SCMP_ACT_NOTIFY"); },
       "linux.seccomp: defaultAction: SCMP_ACT_NOTIFY is not supported"},
      {[](Spec& s) { s.mutable_linux()->mutable_seccomp()->set_default_action("DENY"); },
       "linux.seccomp: defaultAction: \"DENY\" is not an action"},
      {[](Spec& s) {
         s.mutable_linux()->mutable_seccomp()->set_default_action("SCMP_ACT_ALLOW");
         LinuxSyscall* rule = s.mutable_linux()->mutable_seccomp()->add_syscalls();
         rule->add_names("read");
         rule->set_action("SCMP_ACT_ERRNO");
         rule->add_args()->set_op("SCMP_CMP_ABOUT");
       },
       "syscalls[0].args.op: \"SCMP_CMP_ABOUT\" is not an operator"},
  };
  for (const auto& c : cases) {
    Spec spec = GoodSpec();
    c.spoil(spec);
    const auto result = ValidateSpec(spec);
    ASSERT_FALSE(result) << c.message;
    EXPECT_EQ(result.error().code(), Code::kInvalidArgument);
    EXPECT_THAT(result.error().message(), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace kata::oci
