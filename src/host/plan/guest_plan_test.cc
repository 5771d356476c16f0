// SPDX-License-Identifier: Apache-2.0
#include "host/plan/guest_plan.h"

#include <sys/mount.h>

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/plan/guest_mounts.h"
#include "sys/mount_options.h"

namespace kata::sandbox {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class GuestPlanTest : public testing::Test {
 protected:
  void SetUp() override {
    AddNamespace("network");
    input_.container_id = "c1";
    input_.bundle = "/bundle";
    input_.container_kind = "single_container";
    input_.look_at = [this](const std::string& path) {
      const auto it = host_.find(path);
      return Source{.kind = it == host_.end() ? SourceKind::kMissing : it->second,
                    .mount_flags = mount_flags_};
    };
  }
  void AddNamespace(const std::string& type, const std::string& path = "") {
    oci::LinuxNamespace& ns = *spec_.mutable_linux()->add_namespaces();
    ns.set_type(type);
    ns.set_path(path);
  }
  void AddMount(const std::string& destination, const std::string& source, const std::string& type,
                std::vector<std::string> options = {}) {
    oci::Mount& mount = *spec_.add_mounts();
    mount.set_destination(destination);
    mount.set_source(source);
    mount.set_type(type);
    for (const std::string& option : options) mount.add_options(option);
  }
  void AddDevice(const std::string& path, const std::string& type) {
    oci::LinuxDevice& device = *spec_.mutable_linux()->add_devices();
    device.set_path(path);
    device.set_type(type);
  }
  GuestPlan Plan() { return PlanGuest(spec_, input_).value(); }

  oci::Spec spec_;
  PlanInput input_;
  std::map<std::string, SourceKind> host_;
  unsigned long mount_flags_ = MS_RELATIME;
};

TEST_F(GuestPlanTest, TakesAContainerThatUsesTheHostsNetwork) {
  spec_.mutable_linux()->clear_namespaces();
  const auto plan = PlanGuest(spec_, input_);
  EXPECT_TRUE(plan) << plan.error().message();
}

TEST_F(GuestPlanTest, AMemberByItsNamespacesKeepsTheOthersToItself) {
  input_.container_kind = "pod_container";
  AddNamespace("ipc", "/proc/7/ns/ipc");
  AddNamespace("uts");
  for (const bool by_namespaces : {false, true}) {
    input_.by_namespaces = by_namespaces;
    const GuestPlan plan = Plan();
    ASSERT_THAT(plan.spec.linux().namespaces(), SizeIs(2));
    EXPECT_FALSE(plan.spec.linux().namespaces(0).own());
    EXPECT_EQ(plan.spec.linux().namespaces(1).own(), by_namespaces);
  }
}

// What Podman asks for with --mount type=image.
TEST_F(GuestPlanTest, SharesOverlaysOfTheHost) {
  AddMount("/image", "/store/merge", "overlay",
           {"lowerdir=/store/a:/store/b", "upperdir=/store/c", "workdir=/store/d", "private"});
  const GuestPlan plan = Plan();
  ASSERT_THAT(plan.volumes, SizeIs(1));
  EXPECT_TRUE(plan.volumes[0].overlay);
  EXPECT_THAT(plan.volumes[0].options, SizeIs(4));
  EXPECT_EQ(plan.spec.mounts(0).type(), "bind");
  EXPECT_THAT(plan.spec.mounts(0).options(), ElementsAre("rbind", "private"));
}

TEST_F(GuestPlanTest, ABindMountHasTheFlagsOfItsSourceUnlessItSaysOtherwise) {
  host_["/data"] = SourceKind::kDirectory;
  const auto words = [this](std::vector<std::string> options) {
    spec_.clear_mounts();
    AddMount("/data", "/data", "bind", std::move(options));
    const GuestPlan plan = Plan();
    EXPECT_THAT(plan.volumes[0].options, Not(Contains("noexec"))) << "the share itself";
    return std::vector<std::string>(plan.spec.mounts(0).options().begin(),
                                    plan.spec.mounts(0).options().end());
  };
  EXPECT_THAT(words({"rbind", "rprivate"}), ElementsAre("rbind", "rprivate"));
  mount_flags_ = MS_RDONLY | MS_NOEXEC | MS_NOSUID | MS_NODIRATIME | MS_NOATIME;
  EXPECT_THAT(words({"rbind", "rprivate"}),
              ElementsAre("rbind", "rprivate", "ro", "nosuid", "noexec", "nodiratime", "noatime"));
  EXPECT_THAT(words({"bind", "nodev"}),
              ElementsAre("bind", "nodev", "ro", "nodiratime", "noatime"));
  EXPECT_THAT(words({"bind", "relatime"}), ElementsAre("bind", "relatime", "ro"));
  mount_flags_ = MS_STRICTATIME;
  EXPECT_THAT(words({"bind"}), ElementsAre("bind", "strictatime"));
}

TEST_F(GuestPlanTest, InAUserNamespaceFlagsOfTheSourceAreLocked) {
  host_["/data"] = SourceKind::kDirectory;
  AddNamespace("user");
  mount_flags_ = MS_NOEXEC | MS_RELATIME | sys::kNoSymFollow;
  AddMount("/data", "/data", "bind", {"bind", "ro"});
  EXPECT_THAT(Plan().spec.mounts(0).options(), ElementsAre("bind", "ro", "noexec"));
  spec_.clear_mounts();
  AddMount("/data", "/data", "bind", {"bind", "exec"});
  const auto refused = PlanGuest(spec_, input_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kPermissionDenied);
  EXPECT_THAT(refused.error().message(), HasSubstr("operation not permitted"));
  for (const char* changed : {"noatime", "strictatime", "nodiratime"}) {
    spec_.mutable_mounts(0)->set_options(1, changed);
    EXPECT_FALSE(PlanGuest(spec_, input_)) << changed;
  }
  spec_.mutable_mounts(0)->set_options(1, "relatime");
  EXPECT_TRUE(PlanGuest(spec_, input_));
}

// What buildah asks for.
TEST_F(GuestPlanTest, LeavesOutAmbientCapabilitiesThatNoKernelRaises) {
  auto& sets = *spec_.mutable_process()->mutable_capabilities();
  for (const char* name : {"CAP_CHOWN", "CAP_KILL"}) {
    sets.add_permitted(name);
    sets.add_ambient(name);
  }
  sets.add_inheritable("CAP_KILL");
  const GuestPlan plan = Plan();
  EXPECT_THAT(plan.spec.process().capabilities().ambient(), ElementsAre("CAP_KILL"));
  EXPECT_THAT(plan.notes, Contains(HasSubstr("ambient capability CAP_CHOWN")));
}

// What Podman's systemd mode asks for on a host with version 1.
TEST_F(GuestPlanTest, LeavesOutTheHostsHierarchiesOfCgroups) {
  AddMount("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd", "bind", {"bind"});
  AddMount("/sys/fs/cgroup", "/sys/fs/cgroup", "bind", {"bind"});
  const GuestPlan plan = Plan();
  ASSERT_THAT(plan.spec.mounts(), SizeIs(1));
  EXPECT_EQ(plan.spec.mounts(0).destination(), "/sys/fs/cgroup");
  EXPECT_THAT(plan.notes, Contains(HasSubstr("/sys/fs/cgroup/systemd")));
}

TEST_F(GuestPlanTest, GivesAReadOnlyRootADevThatTakesDevices) {
  AddMount("/proc", "proc", "proc");
  EXPECT_EQ(Plan().spec.mounts_size(), 1);
  spec_.mutable_root()->set_readonly(true);
  const GuestPlan plan = Plan();
  ASSERT_EQ(plan.spec.mounts_size(), 2);
  EXPECT_EQ(plan.spec.mounts(0).destination(), "/dev");
  EXPECT_EQ(plan.spec.mounts(0).type(), "tmpfs");
  AddMount("/dev/", "tmpfs", "tmpfs");
  EXPECT_EQ(Plan().spec.mounts_size(), 2);
}

TEST_F(GuestPlanTest, TakesRelativeSourcesFromTheBundle) {
  host_["/bundle/data/x"] = SourceKind::kDirectory;
  AddMount("/data", "data/x", "", {"bind"});
  EXPECT_EQ(Plan().volumes.at(0).source, "/bundle/data/x");
}

TEST_F(GuestPlanTest, SharesBindMountsAndKeepsTheirPlace) {
  host_["/srv"] = SourceKind::kDirectory;
  host_["/etc/hosts"] = SourceKind::kFile;
  AddMount("/proc", "proc", "proc");
  AddMount("/data", "/srv", "bind", {"rbind", "ro"});
  AddMount("/etc/hosts", "/etc/hosts", "", {"bind"});
  const GuestPlan plan = Plan();
  ASSERT_THAT(plan.volumes, SizeIs(2));
  EXPECT_EQ(plan.volumes[0].mount, 1);
  EXPECT_EQ(plan.volumes[0].source, "/srv");
  EXPECT_THAT(plan.volumes[0].options, ElementsAre("rbind", "ro"));
  EXPECT_EQ(plan.volumes[1].mount, 2);
  EXPECT_EQ(plan.spec.mounts(2).type(), "bind");
  EXPECT_EQ(plan.spec.mounts(0).type(), "proc");
}

TEST_F(GuestPlanTest, MapsIdsOnTheHost) {
  host_["/srv"] = SourceKind::kDirectory;
  AddMount("/own", "/srv", "bind", {"bind"});
  const auto range = [](oci::LinuxIDMapping* mapping, uint32_t to) {
    mapping->set_host_id(to);
    mapping->set_size(10);
  };
  range(spec_.mutable_mounts(0)->add_uid_mappings(), 1000);
  range(spec_.mutable_mounts(0)->add_gid_mappings(), 2000);
  AddMount("/containers", "/srv", "bind", {"rbind", "ridmap"});
  range(spec_.mutable_linux()->add_uid_mappings(), 3000);
  range(spec_.mutable_linux()->add_gid_mappings(), 4000);
  const GuestPlan plan = Plan();
  ASSERT_THAT(plan.volumes, SizeIs(2));
  EXPECT_EQ(plan.volumes[0].ids->uids.Text(), "0 1000 10\n");
  EXPECT_EQ(plan.volumes[0].ids->gids.Text(), "0 2000 10\n");
  EXPECT_FALSE(plan.volumes[0].ids->recursive);
  EXPECT_EQ(plan.volumes[1].ids->uids.Text(), "0 3000 10\n");
  EXPECT_TRUE(plan.volumes[1].ids->recursive);
  // The guest has nothing left to map.
  EXPECT_EQ(plan.spec.mounts(0).uid_mappings_size(), 0);
  EXPECT_THAT(plan.spec.mounts(1).options(), ElementsAre("rbind"));
}

TEST_F(GuestPlanTest, RefusesToMapTheIdsOfWhatIsTheGuests) {
  AddMount("/x", "/proc/sys", "bind", {"bind", "idmap"});
  const auto plan = PlanGuest(spec_, input_);
  EXPECT_EQ(plan.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(plan.error().message(),
              HasSubstr("mount \"/x\": only files and directories of the host"));
}

TEST_F(GuestPlanTest, NamesAMissingMountSource) {
  AddMount("/data", "/nowhere", "bind", {"rbind"});
  const auto plan = PlanGuest(spec_, input_);
  EXPECT_EQ(plan.error().code(), Code::kNotFound);
  EXPECT_THAT(plan.error().message(), HasSubstr("/nowhere"));
}

TEST_F(GuestPlanTest, LeavesKernelFilesAndDevicesToTheGuest) {
  host_["/dev/null"] = SourceKind::kCharacterDevice;
  AddMount("/host-proc", "/proc/1", "bind", {"bind"});
  AddMount("/x", "/dev/null", "bind", {"bind"});
  AddMount("/dev/shm", "/run/some/shm", "bind", {"rbind"});
  const GuestPlan plan = Plan();
  EXPECT_THAT(plan.volumes, IsEmpty());
  EXPECT_EQ(plan.spec.mounts(0).source(), "/proc/1");
  EXPECT_EQ(plan.spec.mounts(2).source(), "/run/kata-containers/sandbox/shm");
}

TEST_F(GuestPlanTest, ABlockDeviceBecomesADiskOnlyWhenItIsNamed) {
  host_["/dev/loop7"] = SourceKind::kBlockDevice;
  AddDevice("/dev/loop7", "b");
  AddDevice("/dev/null", "c");
  const GuestPlan named = Plan();
  ASSERT_THAT(named.disks, SizeIs(1));
  EXPECT_EQ(named.disks[0].source, "/dev/loop7");
  EXPECT_EQ(named.spec.linux().devices_size(), 2);

  oci::LinuxDeviceCgroup& rule = *spec_.mutable_linux()->mutable_resources()->add_devices();
  rule.set_allow(true);
  rule.set_type("a");
  rule.set_major(-1);
  rule.set_minor(-1);
  const GuestPlan privileged = Plan();
  EXPECT_THAT(privileged.disks, IsEmpty());
  EXPECT_EQ(privileged.spec.linux().devices_size(), 1);
  EXPECT_THAT(privileged.notes, testing::Contains(HasSubstr("privileged")));
}

TEST_F(GuestPlanTest, ABindMountOfABlockDeviceBecomesADiskAndANode) {
  host_["/dev/loop7"] = SourceKind::kBlockDevice;
  AddMount("/dev/disk", "/dev/loop7", "bind", {"bind", "ro"});
  const GuestPlan plan = Plan();
  ASSERT_THAT(plan.disks, SizeIs(1));
  EXPECT_TRUE(plan.disks[0].read_only);
  EXPECT_EQ(plan.spec.mounts_size(), 0);
  ASSERT_EQ(plan.spec.linux().devices_size(), 1);
  EXPECT_EQ(plan.spec.linux().devices(0).path(), "/dev/disk");
}

TEST_F(GuestPlanTest, ABlockDeviceUnderAnotherNameIsFoundByItsNumber) {
  AddDevice("/dev/disk", "b");
  oci::LinuxDevice& device = *spec_.mutable_linux()->mutable_devices(0);
  device.set_major(7);
  device.set_minor(3);
  input_.find_block_device = [](dev_t number) {
    return number == dev_t{0x703} ? "/dev/loop3" : "";
  };
  oci::LinuxDeviceCgroup& rule = *spec_.mutable_linux()->mutable_resources()->add_devices();
  rule.set_allow(true);
  rule.set_type("b");
  rule.set_major(7);
  rule.set_minor(3);
  rule.set_access("r");
  const GuestPlan only_read = Plan();
  ASSERT_EQ(only_read.disks.size(), 1u);
  EXPECT_EQ(only_read.disks[0].source, "/dev/loop3");
  EXPECT_EQ(only_read.disks[0].container_path, "/dev/disk");
  EXPECT_TRUE(only_read.disks[0].read_only);
  rule.set_access("rwm");
  EXPECT_FALSE(Plan().disks[0].read_only);
}

TEST_F(GuestPlanTest, NamespacesLoseTheHostsPaths) {
  input_.container_kind = "pod_container";
  AddNamespace("pid", "/proc/7/ns/pid");
  AddNamespace("ipc", "/proc/7/ns/ipc");
  AddNamespace("mount");
  const GuestPlan plan = Plan();
  EXPECT_TRUE(plan.share_pid_namespace);
  ASSERT_EQ(plan.spec.linux().namespaces_size(), 2);
  EXPECT_EQ(plan.spec.linux().namespaces(0).type(), "ipc");
  EXPECT_EQ(plan.spec.linux().namespaces(0).path(), "");
}

TEST_F(GuestPlanTest, RefusesNamespacesOfStrangers) {
  AddNamespace("pid", "/proc/7/ns/pid");
  const auto plan = PlanGuest(spec_, input_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), Code::kUnimplemented);
  EXPECT_THAT(plan.error().message(), HasSubstr("the pid namespace \"/proc/7/ns/pid\""));
}

TEST_F(GuestPlanTest, UserAndTimeNamespacesGoToTheGuest) {
  AddNamespace("pid");
  AddNamespace("ipc");
  AddNamespace("user");
  AddNamespace("time");
  const GuestPlan plan = Plan();
  EXPECT_EQ(plan.spec.linux().namespaces_size(), 3);
  EXPECT_THAT(plan.notes, IsEmpty());
}

TEST_F(GuestPlanTest, NamesWhatTheGuestCannotApply) {
  AddNamespace("pid");
  AddNamespace("ipc");
  spec_.mutable_process()->set_apparmor_profile("docker-default");
  spec_.mutable_process()->set_selinux_label("label");
  oci::LinuxResources& resources = *spec_.mutable_linux()->mutable_resources();
  resources.mutable_memory()->set_swappiness(10);
  resources.mutable_memory()->set_disable_oom_killer(true);
  resources.mutable_cpu()->set_mems("1");
  resources.mutable_network()->set_class_id(1);
  EXPECT_THAT(Plan().notes, ElementsAre(HasSubstr("docker-default"), HasSubstr("selinuxLabel"),
                                        HasSubstr("swappiness"), HasSubstr("disableOOMKiller"),
                                        HasSubstr("cpu.mems"), HasSubstr("network")));
}

TEST_F(GuestPlanTest, ThrottlesTheDisksOfTheContainerOnly) {
  AddNamespace("pid");
  AddNamespace("ipc");
  host_["/dev/loop7"] = SourceKind::kBlockDevice;
  input_.device_number = [](const std::string&) { return dev_t{0x707}; };
  AddDevice("/dev/loop7", "b");
  oci::LinuxBlockIO& io = *spec_.mutable_linux()->mutable_resources()->mutable_block_io();
  for (const int64_t number : {7, 8}) {
    oci::LinuxThrottleDevice& entry = *io.add_throttle_read_bps_device();
    entry.set_major(number);
    entry.set_minor(7);
    entry.set_rate(1000);
  }
  const GuestPlan plan = Plan();
  const oci::LinuxBlockIO& kept = plan.spec.linux().resources().block_io();
  ASSERT_EQ(kept.throttle_read_bps_device_size(), 1);
  EXPECT_EQ(kept.throttle_read_bps_device(0).path(), "/dev/loop7");
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("device 8:7")));
}

TEST_F(GuestPlanTest, WhatBelongsToTheHostStaysThere) {
  AddNamespace("pid");
  AddNamespace("ipc");
  spec_.mutable_hooks()->add_prestart()->set_path("/bin/hook");
  spec_.mutable_hooks()->add_start_container()->set_path("/bin/inside");
  spec_.mutable_linux()->mutable_seccomp()->set_default_action("SCMP_ACT_ERRNO");
  spec_.mutable_linux()->mutable_resources()->mutable_cpu()->set_cpus("7");
  spec_.mutable_linux()->mutable_resources()->mutable_memory()->set_limit(1 << 20);
  const GuestPlan plan = Plan();
  EXPECT_EQ(plan.spec.hooks().prestart_size(), 0);
  EXPECT_EQ(plan.spec.hooks().start_container_size(), 1);
  EXPECT_FALSE(plan.spec.linux().has_seccomp());
  EXPECT_EQ(plan.spec.linux().resources().cpu().cpus(), "7");
  EXPECT_EQ(plan.spec.linux().resources().memory().limit(), 1 << 20);
  EXPECT_EQ(plan.spec.linux().cgroups_path(), "/kata/c1");
  EXPECT_EQ(plan.spec.annotations().at("io.katacontainers.pkg.oci.bundle_path"), "/bundle");
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("disable_guest_seccomp")));
  input_.guest_seccomp = true;
  EXPECT_TRUE(Plan().spec.linux().has_seccomp());
}

TEST_F(GuestPlanTest, ABlockDeviceThatDoesNotExistIsRefused) {
  AddDevice("/dev/none", "b");
  const auto plan = PlanGuest(spec_, input_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), Code::kNotFound);
  EXPECT_EQ(plan.error().message(),
            "linux.devices: \"/dev/none\": no such block device on the host");
}

TEST_F(GuestPlanTest, TellsWhatMayBringProgramsIntoTheRoot) {
  oci::Process& process = *spec_.mutable_process();
  process.add_args("tool");
  process.set_cwd("/srv");
  process.add_env("PATH=/old");
  process.add_env("PATH=/bin");
  AddMount("/proc", "proc", "proc");
  AddMount("/dev", "tmpfs", "tmpfs");
  AddMount("/tmp", "tmpfs", "tmpfs");
  AddMount("/opt", "tmpfs", "tmpfs", {"tmpcopyup"});
  AddMount("/data", "/host", "bind", {"rbind"});
  const storage::RootUse use = PlanRootUse(spec_, false);
  EXPECT_EQ(use.program, "tool");
  EXPECT_EQ(use.cwd, "/srv");
  EXPECT_EQ(use.search_path, "/bin");
  std::string kinds;
  for (const auto& mount : use.mounts) kinds += mount.kernel ? 'k' : mount.files ? 'f' : '-';
  EXPECT_EQ(kinds, "kk-ff");
}

TEST_F(GuestPlanTest, AMemberSharesWhatItNamesAPathForAndNothingElse) {
  input_.container_kind = "pod_container";
  input_.by_namespaces = input_.only_joined = true;
  AddNamespace("ipc", "/proc/1/ns/ipc");
  AddMount("/dev/shm", "shm", "tmpfs", {"mode=1777"});
  const GuestPlan plan = Plan();
  ASSERT_EQ(plan.spec.linux().namespaces_size(), 2);
  EXPECT_EQ(plan.spec.linux().namespaces(0).type(), "ipc");
  EXPECT_FALSE(plan.spec.linux().namespaces(0).own());
  EXPECT_EQ(plan.spec.linux().namespaces(1).type(), "uts");
  EXPECT_TRUE(plan.spec.linux().namespaces(1).own());
  EXPECT_FALSE(plan.share_pid_namespace);
  ASSERT_EQ(plan.spec.mounts_size(), 1);
  EXPECT_EQ(plan.spec.mounts(0).type(), "bind");
  EXPECT_EQ(plan.spec.mounts(0).source(), "/run/kata-containers/sandbox/shm");
}

TEST_F(GuestPlanTest, AMemberThatJoinsNothingHasAllOfItsOwn) {
  input_.container_kind = "pod_container";
  input_.by_namespaces = input_.only_joined = true;
  AddMount("/dev/shm", "shm", "tmpfs", {"mode=1777"});
  const GuestPlan plan = Plan();
  ASSERT_EQ(plan.spec.linux().namespaces_size(), 2);
  for (const oci::LinuxNamespace& ns : plan.spec.linux().namespaces()) EXPECT_TRUE(ns.own());
  EXPECT_EQ(plan.spec.mounts(0).type(), "tmpfs");
}

}  // namespace
}  // namespace kata::sandbox
