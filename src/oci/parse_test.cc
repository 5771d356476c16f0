// SPDX-License-Identifier: Apache-2.0
#include "oci/parse.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::oci {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr std::string_view kFullSpec = R"json({
  "ociVersion": "1.2.0",
  "process": {
    "terminal": true, "consoleSize": {"height": 24, "width": 80},
    "user": {"uid": 1000, "gid": 100, "umask": 18, "additionalGids": [10, 20]},
    "args": ["sh", "-c", "true"], "env": ["PATH=/bin"], "cwd": "/",
    "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": null},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 18446744073709551615, "soft": 1024}],
    "noNewPrivileges": true, "oomScoreAdj": -500, "apparmorProfile": "p",
    "scheduler": {"policy": "SCHED_BATCH", "nice": 5}, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 3},
    "execCPUAffinity": {"initial": "0", "final": "0-1"}
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "web", "domainname": "example",
  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]}],
  "hooks": {"poststop": [{"path": "/bin/true", "args": ["true"], "timeout": 3}]},
  "annotations": {"a": "b"},
  "linux": {
    "sysctl": {"net.ipv4.ip_forward": "1"},
    "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
    "cgroupsPath": "/default/web",
    "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}],
    "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
                {"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 0, "uid": 5}],
    "resources": {
      "devices": [{"allow": false, "access": "rwm"},
                  {"allow": true, "type": "c", "major": 0, "minor": 0, "access": "r"}],
      "memory": {"limit": -1, "swap": 1048576, "disableOOMKiller": true},
      "cpu": {"shares": 512, "quota": 20000, "period": 100000, "cpus": "0-1", "burst": 5000, "idle": 1},
      "pids": {"limit": 64},
      "blockIO": {"weight": 100, "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}]},
      "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
      "unified": {"memory.high": "1000"}, "rdma": {}
    },
    "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
      "architectures": ["SCMP_ARCH_X86_64"],
      "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 0,
                    "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_EQ"}]}]},
    "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
    "rootfsPropagation": "slave", "timeOffsets": {"monotonic": {"secs": 1}},
    "personality": {"domain": "LINUX32"}, "memoryPolicy": {"mode": "x"}
  },
  "somethingNew": {"of": ["the", "future"]}
})json";

TEST(ParseSpec, CarriesEveryFieldOfTheMessages) {
  const auto parsed = ParseSpec(kFullSpec);
  ASSERT_TRUE(parsed) << parsed.error().message();
  const Spec& spec = parsed->value;
  EXPECT_EQ(spec.version(), "1.2.0");
  const Process& process = spec.process();
  EXPECT_TRUE(process.terminal());
  EXPECT_EQ(process.console_size().width(), 80u);
  EXPECT_EQ(process.user().uid(), 1000u);
  EXPECT_EQ(process.user().umask(), 18u);
  EXPECT_THAT(process.user().additional_gids(), ElementsAre(10, 20));
  EXPECT_THAT(process.args(), ElementsAre("sh", "-c", "true"));
  EXPECT_THAT(process.capabilities().bounding(), ElementsAre("CAP_KILL"));
  EXPECT_EQ(process.capabilities().permitted_size(), 0);
  EXPECT_EQ(process.rlimits(0).hard(), UINT64_MAX);
  EXPECT_EQ(process.rlimits(0).soft(), 1024u);
  EXPECT_TRUE(process.no_new_privileges());
  EXPECT_EQ(process.oom_score_adj(), -500);
  EXPECT_TRUE(spec.root().readonly());
  EXPECT_EQ(spec.domainname(), "example");
  EXPECT_EQ(spec.mounts(0).destination(), "/proc");
  const auto relative = ParseSpec(R"({"mounts": [{"destination": "a/b"}, {"destination": ""}]})");
  ASSERT_TRUE(relative);
  EXPECT_EQ(relative->value.mounts(0).destination(), "/a/b");
  EXPECT_EQ(relative->value.mounts(1).destination(), "");
  EXPECT_THAT(spec.mounts(0).options(), ElementsAre("nosuid"));
  EXPECT_EQ(spec.hooks().poststop(0).timeout(), 3);
  EXPECT_EQ(spec.annotations().at("a"), "b");
  const Linux& section = spec.linux();
  EXPECT_EQ(section.sysctl().at("net.ipv4.ip_forward"), "1");
  EXPECT_EQ(section.uid_mappings(0).host_id(), 1000u);
  EXPECT_EQ(section.namespaces(1).path(), "/run/netns/x");
  EXPECT_EQ(section.rootfs_propagation(), "slave");
  EXPECT_THAT(section.masked_paths(), ElementsAre("/proc/kcore"));
  EXPECT_EQ(section.seccomp().syscalls(0).args(0).value_two(), 3u);
  EXPECT_TRUE(section.seccomp().syscalls(0).has_errnoret());
  const LinuxResources& resources = section.resources();
  EXPECT_EQ(resources.memory().limit(), -1);
  EXPECT_TRUE(resources.memory().disable_oom_killer());
  EXPECT_EQ(resources.cpu().cpus(), "0-1");
  EXPECT_EQ(resources.pids().limit(), 64);
  EXPECT_EQ(resources.block_io().throttle_read_iops_device(0).rate(), 9u);
  EXPECT_EQ(resources.hugepage_limits(0).pagesize(), "2MB");
  EXPECT_EQ(resources.unified().at("memory.high"), "1000");
  EXPECT_EQ(resources.cpu().burst(), 5000u);
  EXPECT_EQ(resources.cpu().idle(), 1);
  EXPECT_EQ(process.scheduler().policy(), "SCHED_BATCH");
  EXPECT_EQ(process.scheduler().nice(), 5);
  EXPECT_EQ(process.io_priority().class_(), "IOPRIO_CLASS_BE");
  EXPECT_EQ(process.exec_cpu_affinity().final(), "0-1");
  EXPECT_EQ(section.seccomp().default_errno_ret(), 38u);
  EXPECT_EQ(section.time_offsets().at("monotonic").secs(), 1);
  EXPECT_EQ(section.personality().domain(), "LINUX32");
}

TEST(ParseSpec, GivesAbsentDeviceMembersTheirMeaning) {
  const auto parsed = ParseSpec(kFullSpec);
  ASSERT_TRUE(parsed);
  const Linux& section = parsed->value.linux();
  EXPECT_EQ(section.devices(0).file_mode(), 0666u);
  EXPECT_EQ(section.devices(1).file_mode(), 0u);
  EXPECT_EQ(section.resources().devices(0).type(), "a");
  EXPECT_EQ(section.resources().devices(0).major(), -1);
  EXPECT_EQ(section.resources().devices(1).major(), 0);
}

TEST(ParseSpec, ListsWhatIsAskedForAndNotCarried) {
  const auto parsed = ParseSpec(kFullSpec);
  ASSERT_TRUE(parsed);
  std::vector<std::string> paths;
  for (const Unsupported& note : parsed->unsupported) {
    paths.push_back(note.path);
    EXPECT_FALSE(note.reason.empty());
  }
  EXPECT_THAT(paths, ElementsAre("linux.memoryPolicy"));
}

TEST(ParseSpec, NamesPathExpectationAndValue) {
  const struct {
    std::string json;
    std::string message;
  } cases[] = {
      {R"({"process": {"user": {"uid": "x"}}})",
       "config.json: process.user.uid: expected an unsigned number, got \"x\""},
      {R"({"process": {"user": {"uid": -1}}})",
       "config.json: process.user.uid: expected an unsigned number, got -1"},
      {R"({"process": {"user": {"uid": 4294967296}}})",
       "config.json: process.user.uid: expected an unsigned number up to 4294967295, got "
       "4294967296"},
      {R"({"process": {"user": {"uid": 1.5}}})",
       "config.json: process.user.uid: expected an unsigned number, got 1.5"},
      {R"({"process": {"args": "sh"}})",
       "config.json: process.args: expected an array, got \"sh\""},
      {R"({"process": {"args": ["sh", 3]}})",
       "config.json: process.args[1]: expected a string, got 3"},
      {R"({"process": {"args": ["a\u0000b"]}})",
       "config.json: process.args[0]: contains a NUL character"},
      {R"({"process": []})", "config.json: process: expected an object, got an array"},
      {R"({"mounts": [{}, {"destination": {}}]})",
       "config.json: mounts[1].destination: expected a string, got an object"},
      {R"({"mounts": [7]})", "config.json: mounts[0]: expected an object, got 7"},
      {R"({"annotations": {"k": 1}})", "config.json: annotations.k: expected a string, got 1"},
      {R"({"root": {"readonly": "yes"}})",
       "config.json: root.readonly: expected true or false, got \"yes\""},
      {R"({"linux": {"resources": {"memory": {"limit": 9223372036854775808}}}})",
       "config.json: linux.resources.memory.limit: expected a whole number of at most 64 bits "
       "with sign, got 9223372036854775808"},
      {"[]", "config.json: expected an object, got an array"},
      {R"({"process": {"scheduler": {"nice": 2147483648}}})",
       "config.json: process.scheduler.nice: expected a whole number of at most 32 bits with sign, "
       "got 2147483648"},
      {R"({"linux": {"intelRdt": {"closID": "x"}}})",
       "config.json: linux.intelRdt.closID: guests have no Intel RDT; leave linux.intelRdt out"},
  };
  for (const auto& c : cases) {
    const auto parsed = ParseSpec(c.json);
    ASSERT_FALSE(parsed) << c.json;
    EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(parsed.error().message(), c.message);
  }
}

TEST(ParseSpec, SaysWhereTheJsonIsBroken) {
  const auto comma = ParseSpec("{\n  \"ociVersion\": \"1.0.2\",\n  \"root\": ,\n}");
  ASSERT_FALSE(comma);
  EXPECT_THAT(comma.error().message(),
              StartsWith("config.json: line 3, column 11: not valid JSON: "));
  const auto truncated = ParseSpec("{\"process\": {");
  ASSERT_FALSE(truncated);
  EXPECT_THAT(truncated.error().message(), HasSubstr("line 1, column 14"));
  const auto empty = ParseSpec("");
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message(), HasSubstr("the document is empty"));
  EXPECT_FALSE(ParseSpec("{\"hostname\": \"\xff\"}"));
  EXPECT_FALSE(ParseSpec("{\"hostname\": 1e999999}"));
}

TEST(ParseSpec, BoundsSizeDepthAndMessages) {
  const auto large = ParseSpec(std::string(kMaxJsonBytes + 1, ' '));
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().message(), HasSubstr("at most 16777216"));
  const auto deep = ParseSpec(std::string(1'000'000, '['));
  ASSERT_FALSE(deep);
  EXPECT_THAT(deep.error().message(), HasSubstr("nested deeper than 64"));
  const auto brackets_in_string =
      ParseSpec("{\"hostname\": \"" + std::string(1000, '[') + "\\\"" + "\"}");
  EXPECT_TRUE(brackets_in_string);
  const auto long_value = ParseSpec("{\"root\": \"" + std::string(100'000, 'x') + "\"}");
  ASSERT_FALSE(long_value);
  EXPECT_LT(long_value.error().message().size(), 200u);
  const auto long_key = ParseSpec("{\"annotations\": {\"" + std::string(100'000, 'x') + "\": 1}}");
  ASSERT_FALSE(long_key);
  EXPECT_LT(long_key.error().message().size(), 200u);
}

// As Go's decoder, which engines and runc share, does it.
TEST(ParseSpec, TakesNamesInAnyCaseButTheExactOneFirst) {
  const auto parsed = ParseSpec(
      R"({"OCIVersion": "1.1.0", "root": {"Path": "/a", "path": "/b"}, "linux": {"resources":
          {"CPU": {"Cpus": "0"}, "hugepageLimits": [{"pagesize": "2MB", "Limit": 7}]}}})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->value.version(), "1.1.0");
  EXPECT_EQ(parsed->value.root().path(), "/b");
  const LinuxResources& resources = parsed->value.linux().resources();
  EXPECT_EQ(resources.cpu().cpus(), "0");
  EXPECT_EQ(resources.hugepage_limits(0).pagesize(), "2MB");
  EXPECT_EQ(resources.hugepage_limits(0).limit(), 7u);
}

TEST(ParseSpec, TakesTheSizeOfTheMachineForTheAnnotationsThatAskForIt) {
  const auto parsed = ParseSpec(R"({"vm": {"kernel": {"path": "/k"},
      "hwConfig": {"vcpus": 3, "memory": 536870913, "irqs": [1]}},
      "annotations": {"io.katacontainers.config.hypervisor.default_vcpus": "2"}})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  const auto& annotations = parsed->value.annotations();
  EXPECT_EQ(annotations.at("io.katacontainers.config.hypervisor.default_vcpus"), "2");
  EXPECT_EQ(annotations.at("io.katacontainers.config.hypervisor.default_memory"), "513");
  ASSERT_THAT(parsed->unsupported, SizeIs(2));
  EXPECT_EQ(parsed->unsupported[0].path, "vm.kernel");
  EXPECT_EQ(parsed->unsupported[1].path, "vm.hwConfig.irqs");
}

TEST(ParseProcess, ReadsTheProcessOfAnExec) {
  const auto parsed = ParseProcess(R"({"args": ["ps"], "cwd": "/tmp", "user": {"uid": 7}})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->value.cwd(), "/tmp");
  EXPECT_EQ(parsed->value.user().uid(), 7u);
  const auto bad = ParseProcess(R"({"cwd": 1})");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message(), "process: cwd: expected a string, got 1");
}

TEST(ParseResources, ReadsTheResourcesOfAnUpdate) {
  const auto parsed = ParseResources(R"({"memory": {"limit": 104857600}, "pids": {"limit": 5}})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->value.memory().limit(), 104857600);
  EXPECT_TRUE(parsed->value.has_pids());
  EXPECT_FALSE(parsed->value.has_cpu());
}

TEST(LoadBundle, NamesTheFileThatIsMissingOrBroken) {
  const auto missing = LoadBundle("/nonexistent/bundle");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr("/nonexistent/bundle/config.json"));

  const std::filesystem::path bundle =
      std::filesystem::path(testing::TempDir()) / "oci_parse_test_bundle";
  std::filesystem::create_directories(bundle);
  std::ofstream(bundle / "config.json") << "{\"root\": 1}";
  const auto broken = LoadBundle(bundle.string());
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message(),
              HasSubstr(bundle.string() + "/config.json: root: expected"));
  std::filesystem::remove_all(bundle);
}

}  // namespace
}  // namespace kata::oci
