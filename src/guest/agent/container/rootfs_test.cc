// SPDX-License-Identifier: Apache-2.0
//
// Needs root: what a container sees of file systems and devices.
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "guest/agent/container/container_test_bed.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST_F(ContainerTest, HasTheDefaultDevices) {
  const std::string seen = RunScript(
      "for d in null zero full random urandom tty; do stat -c '%n %a %t:%T' /dev/$d; done; "
      "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; "
      "echo x > /dev/null");
  EXPECT_EQ(seen,
            "/dev/null 666 1:3\n/dev/zero 666 1:5\n/dev/full 666 1:7\n/dev/random 666 1:8\n"
            "/dev/urandom 666 1:9\n/dev/tty 666 5:0\n/proc/self/fd\n/proc/self/fd/0\n"
            "/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
}

TEST_F(ContainerTest, MakesTheDevicesOfItsSpec) {
  oci::LinuxDevice* device = linux_part()->add_devices();
  device->set_path("/dev/sub/own");
  device->set_type("c");
  device->set_major(1);
  device->set_minor(3);
  device->set_file_mode(0640);
  device->set_uid(5);
  device->set_gid(6);
  EXPECT_EQ(RunScript("stat -c '%F %a %t:%T %u %g' /dev/sub/own"),
            "character special file 640 1:3 5 6\n");
}

TEST_F(ContainerTest, MasksPaths) {
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/secret-dir"));
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/secret-dir/file", "hidden"));
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/secret-file", "hidden"));
  for (const char* path : {"/secret-dir", "/secret-file", "/missing", "/proc/meminfo"}) {
    linux_part()->add_masked_paths(path);
  }
  EXPECT_EQ(
      RunScript("ls /secret-dir; cat /secret-file; touch /secret-dir/x 2>/dev/null || echo no;"
                "stat -c %t:%T /proc/meminfo"),
      "no\n1:3\n");
}

TEST_F(ContainerTest, MasksDirectoriesWithOneFileSystemAndEachPathOnce) {
  for (const char* path : {"/one", "/two"}) {
    ASSERT_TRUE(sys::MakeDirs(rootfs_ + path));
    linux_part()->add_masked_paths(path);
    linux_part()->add_masked_paths(path);
  }
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/file", "hidden"));
  linux_part()->add_masked_paths("/file");
  linux_part()->add_masked_paths("/file");
  EXPECT_EQ(RunScript("stat -c %d /one /two | uniq | wc -l; ls -A /two;"
                      "for path in /one /two /file; do grep -c \" $path \" /proc/mounts; done"),
            "1\n1\n1\n1\n");
}

TEST_F(ContainerTest, MakesPathsReadOnly) {
  linux_part()->add_readonly_paths("/proc/sys");
  linux_part()->add_readonly_paths("/missing");
  EXPECT_EQ(RunScript("echo x 2>/dev/null > /proc/sys/kernel/hostname || echo no"), "no\n");
}

TEST_F(ContainerTest, HasAReadOnlyRootIfAsked) {
  spec_.mutable_root()->set_readonly(true);
  AddMount("/tmp", "tmpfs", "tmpfs", {"nosuid"});
  EXPECT_EQ(RunScript("touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes"), "no\nyes\n");
}

TEST_F(ContainerTest, SeesOnlyItsOwnMounts) {
  const std::string mounts = RunScript("cat /proc/self/mountinfo");
  EXPECT_THAT(mounts, Not(HasSubstr(dir_ + " ")));
  int count = 0;
  for (const sys::MountInfo& mount : sys::ParseMountInfo(mounts)) {
    ++count;
    EXPECT_EQ(mount.propagation, "") << mount.mount_point;
  }
  EXPECT_EQ(count, 4) << mounts;
}

TEST_F(ContainerTest, BindsDirectoriesAndFilesWithTheirOptions) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/volume/file", "content\n"));
  AddMount("/rw", "bind", dir_ + "/volume", {"rbind", "rw"});
  AddMount("/ro", "bind", dir_ + "/volume", {"bind", "ro", "nosuid", "noexec"});
  AddMount("/etc/one/file", "", dir_ + "/volume/file", {"bind", "ro"});
  EXPECT_EQ(RunScript("touch /rw/new && echo yes; touch /ro/new2 2>/dev/null || echo no;"
                      "cat /etc/one/file; echo x 2>/dev/null > /etc/one/file || echo no;"
                      "grep -c ' /ro ro,nosuid,noexec' /proc/self/mountinfo"),
            "yes\nno\ncontent\nno\n1\n");
  EXPECT_TRUE(sys::Exists(dir_ + "/volume/new"));
}

TEST_F(ContainerTest, RecursiveReadOnlyReachesMountsBelow) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume/below"));
  ASSERT_TRUE(sys::Mount("below", dir_ + "/volume/below", "tmpfs", 0));
  AddMount("/top", "bind", dir_ + "/volume", {"rbind", "ro"});
  AddMount("/all", "bind", dir_ + "/volume", {"rbind", "rro"});
  EXPECT_EQ(RunScript("touch /top/below/x && echo yes; touch /all/below/y 2>/dev/null || echo no"),
            "yes\nno\n");
  ::umount2((dir_ + "/volume/below").c_str(), MNT_DETACH);
}

TEST_F(ContainerTest, SetsPropagationOfMounts) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  AddMount("/shared", "bind", dir_ + "/volume", {"rbind", "rshared"});
  EXPECT_THAT(RunScript("grep ' /shared ' /proc/self/mountinfo"), HasSubstr("shared:"));
}

TEST_F(ContainerTest, CopiesUpWhatATmpfsHides) {
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/data/sub"));
  ASSERT_TRUE(sys::WriteFile(rootfs_ + "/data/sub/file", "kept\n", 0600));
  std::filesystem::create_symlink("sub/file", rootfs_ + "/data/link");
  AddMount("/data", "tmpfs", "tmpfs", {"tmpcopyup", "ro"});
  EXPECT_EQ(RunScript("cat /data/link; stat -c %a /data/sub/file;"
                      "touch /data/x 2>/dev/null || echo no; grep -c ' /data ' /proc/mounts"),
            "kept\n600\nno\n1\n");
}

TEST_F(ContainerTest, KeepsTheModeOfADirectoryUnderATmpfs) {
  ASSERT_TRUE(sys::MakeDirs(rootfs_ + "/own"));
  ASSERT_EQ(::chmod((rootfs_ + "/own").c_str(), 01750), 0);
  AddMount("/own", "tmpfs", "tmpfs", {});
  AddMount("/tmp", "tmpfs", "tmpfs", {"mode=1777"});
  AddMount("/new/one", "tmpfs", "tmpfs", {});
  EXPECT_EQ(RunScript("stat -c %a /own /tmp /new/one /new"), "1750\n1777\n1777\n755\n");
}

TEST_F(ContainerTest, MountsTheUsualKernelFileSystems) {
  AddMount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"});
  AddMount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"});
  AddMount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"});
  AddMount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"});
  const std::string seen = RunScript(
      "grep -cE ' /(sys|dev/mqueue|dev/shm|sys/fs/cgroup) (sysfs|mqueue|tmpfs|cgroup2) ' "
      "/proc/mounts; cat /proc/self/cgroup | grep ^0; cat /sys/fs/cgroup/cgroup.procs");
  EXPECT_EQ(seen, "4\n0::/\n1\n" + seen.substr(std::string("4\n0::/\n1\n").size()));
}

TEST_F(ContainerTest, RefusesKernelFileSystemsOverSymbolicLinks) {
  for (const char* name : {"proc", "dev"}) {
    std::filesystem::remove(rootfs_ + "/" + name);
    std::filesystem::create_symlink("/etc", rootfs_ + "/" + name);
    SetScript("true");
    EXPECT_THAT(RunForError().message(), HasSubstr("must be mounted on ordinary directory"))
        << name;
    std::filesystem::remove(rootfs_ + "/" + name);
    std::filesystem::create_directory(rootfs_ + "/" + name);
  }
}

TEST_F(ContainerTest, FollowsSymbolicLinksOfTheImageOnlyInside) {
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/outside"));
  ASSERT_TRUE(sys::WriteFile(dir_ + "/volume/file", "volume\n"));
  std::filesystem::create_symlink("../../../.." + dir_ + "/outside", rootfs_ + "/up");
  std::filesystem::create_symlink(dir_ + "/outside", rootfs_ + "/absolute");
  std::filesystem::create_symlink("/proc/1/root", rootfs_ + "/magic");
  AddMount("/up/a", "bind", dir_ + "/volume", {"bind"});
  AddMount("/absolute/b", "bind", dir_ + "/volume", {"bind"});
  AddMount("/up/dir/file", "bind", dir_ + "/volume/file", {"bind"});
  EXPECT_EQ(RunScript("cat /up/a/file /absolute/b/file /up/dir/file"), "volume\nvolume\nvolume\n");
  EXPECT_TRUE(std::filesystem::is_empty(dir_ + "/outside"));
  EXPECT_TRUE(std::filesystem::exists(rootfs_ + dir_ + "/outside/a"));

  AddMount("/magic/tmp", "bind", dir_ + "/volume", {"bind"});
  SetScript("true");
  EXPECT_THAT(RunForError().message(), HasSubstr("/magic"));
}

TEST_F(ContainerTest, RefusesMountsInsideProc) {
  ASSERT_TRUE(sys::WriteFile(dir_ + "/file", "replaced\n"));
  ASSERT_TRUE(sys::MakeDirs(dir_ + "/volume"));
  std::filesystem::create_symlink("/proc/sys", rootfs_ + "/trick");
  SetScript("cat /proc/uptime");
  AddMount("/proc/uptime", "bind", dir_ + "/file", {"bind"});
  EXPECT_EQ(RunScript("cat /proc/uptime"), "replaced\n");

  const int mounts = spec_.mounts_size();
  for (const char* target : {"/proc/sys/kernel", "/proc/self/attr", "/trick/kernel", "/proc"}) {
    spec_.mutable_mounts()->DeleteSubrange(mounts, spec_.mounts_size() - mounts);
    AddMount(target, "bind", dir_ + "/volume", {"bind"});
    EXPECT_THAT(RunForError().message(), ContainsRegex("cannot be mounted")) << target;
    spec_.mutable_mounts()->RemoveLast();
    AddMount(target, "tmpfs", "tmpfs", {});
    EXPECT_THAT(RunForError().message(), ContainsRegex("cannot be mounted")) << target;
  }
}

}  // namespace
}  // namespace kata::guest
