// SPDX-License-Identifier: Apache-2.0
//
// Needs root: what a container's processes may do, see and are given of the machine.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "guest/agent/container/container_test_bed.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

using testing::HasSubstr;

class ConfinementTest : public ExecTest {
 protected:
  void Refuse(const char* call, const char* action = "SCMP_ACT_ERRNO") {
    oci::LinuxSeccomp* profile = linux_part()->mutable_seccomp();
    profile->set_default_action("SCMP_ACT_ALLOW");
    oci::LinuxSyscall* rule = profile->add_syscalls();
    rule->add_names(call);
    rule->set_action(action);
  }
  // Ids 0..999 of the container are 100000..100999 outside, and its root file system's.
  void MapUsers() {
    linux_part()->add_namespaces()->set_type("user");
    for (oci::LinuxIDMapping* range :
         {linux_part()->add_uid_mappings(), linux_part()->add_gid_mappings()}) {
      range->set_host_id(100000);
      range->set_size(2000);
    }
    ASSERT_EQ(::chown(rootfs_.c_str(), 100000, 100000), 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(rootfs_)) {
      ASSERT_EQ(::lchown(entry.path().c_str(), 100000, 100000), 0);
    }
  }
  void AllCapabilities() {
    oci::LinuxCapabilities* capabilities = process()->mutable_capabilities();
    for (const char* name : {"CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETUID"}) {
      capabilities->add_bounding(name);
      capabilities->add_permitted(name);
      capabilities->add_effective(name);
    }
  }
};

TEST_F(ConfinementTest, TheFilterHoldsWithAndWithoutNewPrivileges) {
  Refuse("mkdir");
  for (const bool no_new_privileges : {false, true}) {
    process()->set_no_new_privileges(no_new_privileges);
    process()->mutable_user()->set_uid(no_new_privileges ? 0 : 1000);
    EXPECT_EQ(RunScript("busybox mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status"),
              "mkdir: can't create directory '/tmp/x': Operation not permitted\nSeccomp:\t2\n");
  }
}

TEST_F(ConfinementTest, TheFilterHoldsForLaterProcesses) {
  Refuse("mkdir");
  Begin();
  for (const bool no_new_privileges : {false, true}) {
    oci::Process mkdir = Script("busybox mkdir /tmp/x");
    mkdir.set_no_new_privileges(no_new_privileges);
    EXPECT_THAT(Exec(mkdir).out, HasSubstr("not permitted"));
  }
}

TEST_F(ConfinementTest, NamesWhatIsWrongWithAFilter) {
  Refuse("mkdir", "SCMP_ACT_NOTIFY");
  SetScript("true");
  EXPECT_THAT(RunForError().message(), HasSubstr("SCMP_ACT_NOTIFY is not supported"));
}

TEST_F(ConfinementTest, HasTheSchedulerAndIoPriorityOfItsSpec) {
  process()->mutable_scheduler()->set_policy("SCHED_BATCH");
  process()->mutable_scheduler()->set_nice(7);
  process()->mutable_io_priority()->set_class_("IOPRIO_CLASS_IDLE");
  // Fields 19 and 41 of stat(5).
  EXPECT_EQ(RunScript("read -r line < /proc/self/stat; set -- $line; shift 18; echo $1; "
                      "shift 22; echo $1; busybox ionice -p $$"),
            "7\n3\nidle\n");
}

TEST_F(ConfinementTest, ALaterProcessRunsOnTheProcessorsItAsksFor) {
  Begin();
  oci::Process process = Script("grep Cpus_allowed_list /proc/self/status");
  process.mutable_exec_cpu_affinity()->set_final("0");
  EXPECT_EQ(Exec(process).out, "Cpus_allowed_list:\t0\n");
}

TEST_F(ConfinementTest, StartHooksRunInsideBeforeTheProgram) {
  oci::Hook* hook = spec_.mutable_hooks()->add_start_container();
  hook->set_path("/bin/sh");
  for (const char* word : {"sh", "-c", "cat > /tmp/state; echo $WORD > /tmp/word"}) {
    hook->add_args(word);
  }
  hook->add_env("WORD=given");
  hook->add_env("PATH=/bin");
  spec_.set_version("1.2.0");
  const std::string out = RunScript("cat /tmp/word /tmp/state");
  EXPECT_THAT(out, HasSubstr("given\n{\"ociVersion\":\"1.2.0\",\"id\":\"test-"));
  EXPECT_THAT(out, HasSubstr("\"status\":\"created\",\"pid\":1,"));
}

TEST_F(ConfinementTest, AStartHookHasTheProcessSEnvironmentAndItsWordsAreToldWhenItFails) {
  oci::Hook* hook = spec_.mutable_hooks()->add_start_container();
  hook->set_path("/bin/sh");
  for (const char* word : {"sh", "-c", "echo $WORD for $HOME; exit 3"}) hook->add_args(word);
  SetScript("true");
  spec_.mutable_process()->add_env("WORD=inherited");
  EXPECT_THAT(RunForError().message(), HasSubstr("exit status 3, output: inherited for /"));
}

TEST_F(ConfinementTest, AStartHookThatFailsKeepsTheProgramFromStarting) {
  spec_.mutable_hooks()->add_start_container()->set_path("/bin/false");
  SetScript("touch /tmp/ran");
  EXPECT_THAT(RunForError().message(),
              HasSubstr("error running startContainer hook #0: \"/bin/false\": exit status 1"));
  EXPECT_FALSE(sys::Exists(rootfs_ + "/tmp/ran"));
  spec_.mutable_hooks()->mutable_start_container(0)->set_path("/bin/sleep");
  for (const char* word : {"sleep", "1000"}) {
    spec_.mutable_hooks()->mutable_start_container(0)->add_args(word);
  }
  spec_.mutable_hooks()->mutable_start_container(0)->set_timeout(1);
  EXPECT_THAT(RunForError().message(), HasSubstr("did not end within 1 seconds"));
}

TEST_F(ConfinementTest, HasThePersonalityOfItsSpec) {
  linux_part()->mutable_personality()->set_domain("LINUX32");
  EXPECT_EQ(RunScript("busybox uname -m"), "i686\n");
}

TEST_F(ConfinementTest, HasClocksOfItsOwn) {
  linux_part()->add_namespaces()->set_type("time");
  (*linux_part()->mutable_time_offsets())["boottime"].set_secs(1'000'000'000);
  Begin();
  const char* const uptime =
      "read -r up rest < /proc/uptime; [ ${up%.*} -gt 1000000000 ] && echo later";
  EXPECT_EQ(Exec(Script(uptime)).out, "later\n");
  EXPECT_EQ(RunScript(uptime), "later\n");
}

TEST_F(ConfinementTest, ItsUsersAreOthersOutside) {
  MapUsers();
  AllCapabilities();
  EXPECT_EQ(RunScript("id -u; stat -c %u /; stat -c %u /dev/null; touch /tmp/mine; "
                      "stat -c %u /tmp/mine; read -r a b c < /proc/self/uid_map; echo $a $b $c"),
            "0\n0\n0\n0\n0 100000 2000\n");
  struct stat status{};
  ASSERT_EQ(::stat((rootfs_ + "/tmp/mine").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 100000u);
}

TEST_F(ConfinementTest, RootOfAUserNamespaceMountsInItsOwnTreeAndNowhereElse) {
  MapUsers();
  AllCapabilities();
  EXPECT_EQ(RunScript("mount -t tmpfs none /tmp && touch /tmp/x && echo mounted"), "mounted\n");
  EXPECT_FALSE(sys::Exists(rootfs_ + "/tmp/x"));
}

TEST_F(ConfinementTest, LaterProcessesAreInTheUserNamespaceToo) {
  MapUsers();
  Begin();
  oci::Process process = Script("id -u; read -r a b c < /proc/self/uid_map; echo $b");
  process.mutable_user()->set_uid(5);
  EXPECT_EQ(Exec(process).out, "5\n100000\n");
  struct stat status{};
  ASSERT_EQ(::stat(fmt::format("/proc/{}/ns/user", init_).c_str(), &status), 0);
}

TEST_F(ConfinementTest, ATerminalInAUserNamespaceBelongsToItsRoot) {
  MapUsers();
  EXPECT_THAT(RunInTerminal("tty; stat -c '%u %g' /dev/pts/0; echo x > /dev/console"),
              HasSubstr("/dev/pts/0\r\n0 "));
}

}  // namespace
}  // namespace kata::guest
