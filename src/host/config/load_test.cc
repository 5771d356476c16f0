// SPDX-License-Identifier: Apache-2.0
#include "host/config/load.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/config/annotations.h"
#include "host/config/host_files.h"
#include "host/config/nearest.h"
#include "host/config/render.h"

namespace kata::config {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A host's file system in a folder.
class LoadTest : public testing::Test {
 protected:
  LoadTest() {
    std::string pattern = testing::TempDir() + "kata-config-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    options_.root = root_;
    options_.program = root_ + "/opt/bin/containerd-shim-kata-v2";
    options_.host = {.cpus = 4, .memory_mib = 8192};
  }
  ~LoadTest() override { fs::remove_all(root_); }

  std::string Write(const std::string& path, const std::string& text) {
    const std::string full = root_ + path;
    fs::create_directories(fs::path(full).parent_path());
    std::ofstream(full) << text;
    return full;
  }
  Result<Loaded> LoadText(const std::string& text) {
    options_.config_path = Write("/c.toml", text);
    return Load(options_);
  }
  std::string ErrorOf(const std::string& text) {
    const auto loaded = LoadText(text);
    if (loaded) return "(no error)";
    EXPECT_EQ(loaded.error().code(), Code::kInvalidArgument);
    std::string message = loaded.error().message();
    if (message.starts_with(root_)) message.erase(0, root_.size() + 1);
    return message;
  }

  std::string root_;
  LoadOptions options_;
};

TEST_F(LoadTest, UsesBuiltInDefaultsWithoutAnyFile) {
  const auto loaded = Load(options_);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_THAT(loaded->files, IsEmpty());
  EXPECT_EQ(loaded->config.hypervisor.default_memory_mib, 2048);
  EXPECT_EQ(loaded->config.hypervisor.default_vcpus, 1);
  EXPECT_EQ(loaded->config.hypervisor.default_maxvcpus, 4);
  EXPECT_EQ(loaded->config.hypervisor.default_maxmemory_mib, 8192);
  EXPECT_TRUE(loaded->SourceOf(Table::kHypervisor, "default_memory").built_in());
}

TEST_F(LoadTest, PrefersEarlierPlaces) {
  const auto memory = [](int mib) {
    return "[hypervisor.qemu]\ndefault_memory = " + std::to_string(mib) + "\n";
  };
  const auto loaded = [&] { return Load(options_).value().config.hypervisor.default_memory_mib; };
  Write("/opt/share/defaults/kata-containers/configuration.toml", memory(101));
  EXPECT_EQ(loaded(), 101);
  Write("/usr/local/share/defaults/kata-containers/configuration.toml", memory(102));
  EXPECT_EQ(loaded(), 102);
  Write("/usr/share/defaults/kata-containers/configuration.toml", memory(103));
  EXPECT_EQ(loaded(), 103);
  Write("/etc/kata-containers/configuration.toml", memory(104));
  EXPECT_EQ(loaded(), 104);
  options_.conf_file = Write("/env.toml", memory(105));
  EXPECT_EQ(loaded(), 105);
  options_.config_path = Write("/option.toml", memory(106));
  EXPECT_EQ(loaded(), 106);
}

TEST_F(LoadTest, NamesFilesThatWereAskedForAndCannotBeRead) {
  options_.conf_file = root_ + "/missing.toml";
  const auto missing = Load(options_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr("KATA_CONF_FILE"));
  EXPECT_THAT(missing.error().message(), HasSubstr(root_ + "/missing.toml"));
  EXPECT_THAT(missing.error().message(), HasSubstr("No such file or directory"));

  options_.config_path = root_;
  const auto directory = Load(options_);
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message(), HasSubstr("runtime options"));
  EXPECT_THAT(directory.error().message(), HasSubstr("Is a directory"));
}

TEST_F(LoadTest, DropInsReplaceValuesInAlphabeticalOrder) {
  Write("/config.d/20-b.toml", "[hypervisor.qemu]\ndefault_vcpus = 3\n");
  Write("/config.d/10-a.toml", "[hypervisor.qemu]\ndefault_vcpus = 2\ndefault_memory = 512\n");
  Write("/config.d/README", "not TOML");
  const auto loaded = LoadText("[hypervisor.qemu]\ndefault_vcpus = 1\nmemory_slots = 7\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->config.hypervisor.default_vcpus, 3);
  EXPECT_EQ(loaded->config.hypervisor.default_memory_mib, 512);
  EXPECT_EQ(loaded->config.hypervisor.memory_slots, 7);
  EXPECT_THAT(loaded->files, ElementsAre(root_ + "/c.toml", root_ + "/config.d/10-a.toml",
                                         root_ + "/config.d/20-b.toml"));
  EXPECT_EQ(loaded->SourceOf(Table::kHypervisor, "default_vcpus").ToString(),
            root_ + "/config.d/20-b.toml:2");
}

TEST_F(LoadTest, RefusesImpossibleValuesWithFileLineKeyAndValue) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"[hypervisor.qemu]\n\ndefault_memory = 0\n",
       "c.toml:3: [hypervisor.qemu] default_memory = 0: expected a whole number from 64 to "
       "16777216 (MiB)"},
      {"[hypervisor.qemu]\ndefault_memory = -5\n",
       "c.toml:2: [hypervisor.qemu] default_memory = -5: expected a whole number from 64 to "
       "16777216 (MiB)"},
      {"[hypervisor.qemu]\ndefault_memory = \"2G\"\n",
       "c.toml:2: [hypervisor.qemu] default_memory = \"2G\": expected a whole number from 64 to "
       "16777216 (MiB)"},
      {"[hypervisor.qemu]\ndefault_vcpus = 1.5\n",
       "c.toml:2: [hypervisor.qemu] default_vcpus = 1.5: expected a whole number from -1 to 255"},
      {"[hypervisor.qemu]\ndefault_memory = 1999-12-31\n",
       "c.toml:2: [hypervisor.qemu] default_memory: expected a whole number from 64 to 16777216 "
       "(MiB)"},
      {"[hypervisor.qemu]\ndefault_memory = 9000\n",
       "c.toml:2: [hypervisor.qemu] default_memory = 9000: more than this host's 8192 MiB"},
      {"[hypervisor.qemu]\naccelerator = \"xen\"\n",
       "c.toml:2: [hypervisor.qemu] accelerator = \"xen\": expected one of auto, kvm, tcg"},
      {"[hypervisor.qemu]\nkernel = \"vmlinux\"\n",
       "c.toml:2: [hypervisor.qemu] kernel = \"vmlinux\": expected an absolute path"},
      {"[hypervisor.qemu]\nenable_debug = \"yes\"\n",
       "c.toml:2: [hypervisor.qemu] enable_debug = \"yes\": expected true or false"},
      {"[hypervisor.qemu]\nvirtio_fs_extra_args = \"-o x\"\n",
       "c.toml:2: [hypervisor.qemu] virtio_fs_extra_args = \"-o x\": expected a list of strings"},
      {"[hypervisor.qemu]\nvirtio_fs_extra_args = [1]\n",
       "c.toml:2: [hypervisor.qemu] virtio_fs_extra_args: expected a list of strings"},
      {"[hypervisor.qemu]\nvirtio_fs_queue_size = 100\n",
       "c.toml:2: [hypervisor.qemu] virtio_fs_queue_size = 100: not a power of two"},
      {"[runtime]\nrootfs_upper = \"ram\"\n",
       "c.toml:2: [runtime] rootfs_upper = \"ram\": expected one of shared, disk"},
      {"[runtime]\nrootfs_upper_size = \"ten\"\n",
       "c.toml:2: [runtime] rootfs_upper_size = \"ten\": expected a size, such as 512M or 10G"},
      {"[runtime]\nrootfs_upper_size = \"63M\"\n",
       "c.toml:2: [runtime] rootfs_upper_size = \"63M\": expected 64M to 16T"},
      {"[runtime]\nrootfs_upper_size = \"17T\"\n",
       "c.toml:2: [runtime] rootfs_upper_size = \"17T\": expected 64M to 16T"},
      {"[factory]\nlayer_cache_size_mb = -1\n",
       "c.toml:2: [factory] layer_cache_size_mb = -1: expected a whole number from 0 to 1073741824 "
       "(MiB)"},
      {"[runtime]\nhypervisor_name = \"clh\"\n",
       "c.toml:2: [runtime] hypervisor_name = \"clh\": expected one of qemu"},
  };
  for (const auto& c : cases) EXPECT_EQ(ErrorOf(c.text), c.message);
}

TEST_F(LoadTest, RefusesValuesThatContradictEachOther) {
  EXPECT_THAT(ErrorOf("[hypervisor.qemu]\ndefault_vcpus = 3\ndefault_maxvcpus = 2\n"),
              HasSubstr("c.toml:2: [hypervisor.qemu] default_vcpus = 3: more than "
                        "default_maxvcpus = 2 ("));
  EXPECT_THAT(ErrorOf("[hypervisor.qemu]\ndefault_maxmemory = 1024\n"),
              HasSubstr("default_memory = 2048: more than default_maxmemory = 1024"));
  EXPECT_THAT(ErrorOf("[hypervisor.qemu]\nimage = \"/a\"\ninitrd = \"/b\"\n"),
              HasSubstr("c.toml:2: [hypervisor.qemu] image = \"/a\": initrd is set too ("));
  EXPECT_THAT(ErrorOf("[hypervisor.qemu]\nenable_annotations = [\"a(\"]\n"),
              HasSubstr("\"a(\" is not a regular expression"));
}

TEST_F(LoadTest, SaysWhereTomlIsBroken) {
  EXPECT_THAT(ErrorOf("[runtime]\nenable_debug = \n"), HasSubstr("c.toml:2:"));
  EXPECT_THAT(ErrorOf("[runtime]\nenable_debug = \n"), HasSubstr("not valid TOML"));
  EXPECT_THAT(ErrorOf("a = 1\na = 2\n"), HasSubstr("c.toml:2:"));
  EXPECT_THAT(ErrorOf("\xff\xfe"), HasSubstr("not valid TOML"));
}

TEST_F(LoadTest, WarnsOfUnknownKeysWithTheLineAndTheNearestKey) {
  const auto loaded = LoadText(
      "stray = 1\n"
      "[hypervisor.qemu]\n"
      "defualt_memory = 1024\n"
      "zzz = 1\n"
      "[hypervisr.qemu]\n"
      "path = \"/x\"\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  const std::string file = root_ + "/c.toml";
  EXPECT_THAT(
      loaded->warnings,
      ElementsAre(file + ":1: \"stray\" stands outside every table and is ignored",
                  file + ":3: unknown key \"defualt_memory\" in [hypervisor.qemu] is ignored; did "
                         "you mean \"default_memory\"?",
                  file + ":4: unknown key \"zzz\" in [hypervisor.qemu] is ignored",
                  file + ":6: \"path\" in the unknown table [hypervisr.qemu] is ignored; did you "
                         "mean \"hypervisor.qemu\"?"));
}

TEST_F(LoadTest, WarnsOnceAFileOfKnownKeysWithoutEffect) {
  const auto loaded = LoadText(
      "[hypervisor.qemu]\n"
      "enable_iommu = true\n"
      "entropy_source = \"/dev/urandom\"\n"
      "[hypervisor.qemu.factory]\n"
      "enable_template = true\n"
      "[hypervisor.clh]\n"
      "path = \"/usr/bin/cloud-hypervisor\"\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_THAT(loaded->warnings,
              ElementsAre(root_ + "/c.toml: known keys that have no effect here: enable_iommu "
                                  "(line 2), entropy_source (line 3), enable_template (line 5), "
                                  "path (line 7)"));
}

// A VMM beside the default one.
constexpr hypervisor::VmmTraits kTwoVmms[] = {hypervisor::kDefaultVmm,
                                              {.name = "other",
                                               .title = "Other",
                                               .table = "hypervisor.other",
                                               .program = "other-vmm",
                                               .install = "install it"}};

TEST_F(LoadTest, ReadsTheTableOfTheVmmThatIsThere) {
  options_.vmms = kTwoVmms;
  const std::string program = Write("/usr/bin/other-vmm", "");
  fs::permissions(program, fs::perms::owner_all);
  const auto loaded = LoadText("[hypervisor.other]\ndefault_vcpus = 3\ndefualt_memory = 1\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->vmm, &kTwoVmms[1]);
  EXPECT_EQ(loaded->config.runtime.hypervisor_name, "other");
  EXPECT_EQ(loaded->SourceOf(Table::kRuntime, "hypervisor_name").ToString(), root_ + "/c.toml:2");
  EXPECT_EQ(loaded->config.hypervisor.default_vcpus, 3);
  EXPECT_EQ(loaded->config.hypervisor.path, program);
  EXPECT_THAT(loaded->warnings,
              ElementsAre(HasSubstr("unknown key \"defualt_memory\" in [hypervisor.other]")));
  EXPECT_THAT(RenderEffective(*loaded), HasSubstr("[hypervisor.other]\n"));
}

TEST_F(LoadTest, LeavesTheTableOfAVmmThatIsNotChosenAside) {
  options_.vmms = kTwoVmms;
  const auto loaded = LoadText(
      "[hypervisor.qemu]\ndefault_vcpus = 2\nwrong = \"x\"\n"
      "[runtime]\nhypervisor_name = \"other\"\n"
      "[hypervisor.other]\ndefault_memory = 512\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->config.hypervisor.default_vcpus, 1);
  EXPECT_EQ(loaded->config.hypervisor.default_memory_mib, 512);
  EXPECT_THAT(loaded->warnings, IsEmpty());
}

TEST_F(LoadTest, ErrorsNameTheTableOfTheVmmThatWasChosen) {
  options_.vmms = kTwoVmms;
  EXPECT_EQ(ErrorOf("[hypervisor.other]\ndefault_memory = 9000\n"),
            "c.toml:2: [hypervisor.other] default_memory = 9000: more than this host's 8192 MiB");
  EXPECT_EQ(ErrorOf("[hypervisor.other]\nenable_debug = 1\n"),
            "c.toml:2: [hypervisor.other] enable_debug = 1: expected true or false");
  auto loaded = LoadText("[hypervisor.other]\nmemory_slots = 1\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_THAT(RequireVmm(*loaded).error().message(),
              "no Other: other-vmm is not on this host; install it, or set path in "
              "[hypervisor.other] of configuration.toml");
  const auto applied =
      ApplyAnnotations({{"io.katacontainers.config.hypervisor.kernel", "/x"}}, &*loaded);
  EXPECT_THAT(applied.error().message(), HasSubstr("enable_annotations in [hypervisor.other] of"));
}

TEST_F(LoadTest, RefusesATableOfAVmmThatIsNotHere) {
  EXPECT_EQ(ErrorOf("[hypervisor.clh]\npath = \"/usr/bin/cloud-hypervisor\"\n"),
            "c.toml:2: [hypervisor.clh]: no such VMM here; name the table after one of qemu");
}

TEST_F(LoadTest, OtherSpellingsSetTheSameValue) {
  const auto loaded = LoadText(
      "[agent.kata]\ncreate_container_timeout = 30\n"
      "[hypervisor.qemu]\nseccomp_sandbox = \"\"\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->config.runtime.create_container_timeout_s, 30);
  EXPECT_EQ(loaded->config.hypervisor.seccomp_sandbox, "");
  EXPECT_EQ(loaded->SourceOf(Table::kRuntime, "create_container_timeout").line, 2);
}

TEST_F(LoadTest, ReplacesWhatMeansTheHostsOwnSize) {
  const auto all = LoadText("[hypervisor.qemu]\ndefault_vcpus = -1\ndefault_maxvcpus = 200\n");
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(all->config.hypervisor.default_vcpus, 4);
  EXPECT_EQ(all->config.hypervisor.default_maxvcpus, 4);
  const auto more = LoadText("[hypervisor.qemu]\ndefault_vcpus = 6.0\n");
  ASSERT_TRUE(more) << more.error().message();
  EXPECT_EQ(more->config.hypervisor.default_maxvcpus, 6);

  options_.host.memory_mib = 1024;
  const auto small = LoadText("");
  ASSERT_TRUE(small) << small.error().message();
  EXPECT_EQ(small->config.hypervisor.default_memory_mib, 512);
}

TEST_F(LoadTest, FindsGuestFilesBesideTheProgram) {
  const std::string kernel = Write("/opt/share/kata-containers/vmlinux.container", "k");
  const std::string elsewhere = Write("/usr/share/kata-containers/kata-containers-initrd.img", "i");
  const auto loaded = Load(options_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->config.hypervisor.kernel, kernel);
  EXPECT_EQ(loaded->config.hypervisor.initrd, elsewhere);
  EXPECT_EQ(loaded->SourceOf(Table::kHypervisor, "kernel").ToString(), kFound);
  EXPECT_TRUE(RequireKernel(*loaded));
  EXPECT_TRUE(RequireInitrdOrImage(*loaded));
}

TEST_F(LoadTest, PrefersTheGuestKernelThatWasChosenUnlessAFileIsNamed) {
  const std::string initrd = Write("/opt/share/kata-containers/kata-containers-initrd.img", "i");
  Write("/opt/share/kata-containers/vmlinux.container", "k");
  struct stat status{};
  ASSERT_EQ(::stat(initrd.c_str(), &status), 0);
  const std::string chosen = "/var/lib/kata-containers/guest-kernel/";
  Write(chosen + "new/kernel.info",
        fmt::format("installation: {}/opt/share/kata-containers\ninitrd: {} {}\n", root_,
                    status.st_size, status.st_mtim.tv_sec));
  const std::string kernel = Write(chosen + "new/vmlinux.container", "k");
  const std::string with_modules = Write(chosen + "new/kata-containers-initrd.img", "im");
  fs::create_symlink("new", root_ + chosen + "current");

  const auto loaded = Load(options_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->config.hypervisor.kernel, kernel);
  EXPECT_EQ(loaded->config.hypervisor.initrd, with_modules);

  const auto named = LoadText("[hypervisor.qemu]\nkernel = \"/boot/mine\"\n");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->config.hypervisor.kernel, "/boot/mine");
  EXPECT_EQ(named->config.hypervisor.initrd, initrd);
}

TEST_F(LoadTest, MissingFilesAreErrorsWithARemedy) {
  const auto none = Load(options_);
  ASSERT_TRUE(none);
  const auto kernel = RequireKernel(*none);
  ASSERT_FALSE(kernel);
  EXPECT_EQ(kernel.error().code(), Code::kNotFound);
  EXPECT_THAT(kernel.error().message(), HasSubstr("vmlinux.container was not found; install"));

  const auto wrong = LoadText("[hypervisor.qemu]\npath = \"/nonexistent/qemu\"\n");
  ASSERT_TRUE(wrong);
  const auto vmm = RequireVmm(*wrong);
  ASSERT_FALSE(vmm);
  EXPECT_EQ(vmm.error().message(),
            "path \"/nonexistent/qemu\" (" + root_ + "/c.toml:2): No such file or directory");
}

TEST_F(LoadTest, PodsMaySetWhatTheHostAllows) {
  auto loaded = LoadText(
      "[hypervisor.qemu]\n"
      "enable_annotations = [\"default_.*\", \"kernel_params\", \"path\", \"rootfs_layers\"]\n"
      "kernel_params = \"a=1\"\n"
      "valid_hypervisor_paths = [\"/usr/bin/qemu-*\"]\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  const std::string prefix = "io.katacontainers.config.";
  const auto applied =
      ApplyAnnotations({{prefix + "hypervisor.default_memory", "256"},
                        {prefix + "hypervisor.default_max_vcpus", "2"},
                        {prefix + "hypervisor.kernel_params", "b=2"},
                        {prefix + "hypervisor.path", "/usr/bin/qemu-system-x86_64"},
                        {prefix + "runtime.create_container_timeout", "5"},
                        {prefix + "runtime.rootfs_layers", "true"},
                        {prefix + "runtime.rootfs_upper", "disk"},
                        {prefix + "runtime.rootfs_upper_size", "1g"},
                        {"io.kubernetes.cri.sandbox-id", "x"}},
                       &*loaded);
  ASSERT_TRUE(applied) << applied.error().message();
  EXPECT_EQ(loaded->config.hypervisor.default_memory_mib, 256);
  EXPECT_EQ(loaded->config.hypervisor.default_maxvcpus, 2);
  EXPECT_EQ(loaded->config.hypervisor.kernel_params, "a=1 b=2");
  EXPECT_EQ(loaded->config.runtime.create_container_timeout_s, 5);
  EXPECT_TRUE(loaded->config.runtime.rootfs_layers);
  EXPECT_EQ(loaded->config.runtime.rootfs_upper, "disk");
  EXPECT_EQ(loaded->config.runtime.rootfs_upper_size, "1g");
  EXPECT_EQ(loaded->SourceOf(Table::kHypervisor, "default_memory").ToString(),
            "annotation io.katacontainers.config.hypervisor.default_memory");
}

TEST_F(LoadTest, PodsMaySetNothingElse) {
  const std::string file =
      "[hypervisor.qemu]\n"
      "enable_annotations = [\"default_.*\", \"path\", \"iommu\"]\n"
      "valid_hypervisor_paths = [\"/usr/bin/qemu-*\"]\n";
  const std::string prefix = "io.katacontainers.config.";
  const struct {
    const char* name;
    const char* value;
    const char* message;
  } cases[] = {
      {"hypervisor.kernel", "/x", "hypervisor.kernel: not allowed on this host; add \"kernel\""},
      {"hypervisor.enable_iommu", "true", "enable_iommu: not allowed on this host"},
      {"hypervisor.default_memory", "1", "default_memory = \"1\": expected a whole number from 64"},
      {"hypervisor.default_memory", "99999", "more than this host's 8192 MiB"},
      {"hypervisor.path", "/usr/bin/../../tmp/qemu-x", "not among the valid paths"},
      {"hypervisor.path", "/usr/bin/qemu-dir/x", "not among the valid paths"},
      {"hypervisor.path", "/bin/sh", "not among the valid paths for path in"},
      {"hypervisor.enable_annotations", ".*", "no key that a pod may set"},
      {"hypervisor.nonsense", "1", "no key that a pod may set"},
      {"runtime.hypervisor_name", "qemu", "no key that a pod may set"},
      {"other.x", "1", "no key that a pod may set"},
  };
  for (const auto& c : cases) {
    auto loaded = LoadText(file);
    ASSERT_TRUE(loaded) << loaded.error().message();
    const auto applied = ApplyAnnotations({{prefix + c.name, c.value}}, &*loaded);
    ASSERT_FALSE(applied) << c.name;
    EXPECT_THAT(applied.error().message(), HasSubstr(c.message));
    EXPECT_THAT(applied.error().message(), HasSubstr(prefix + c.name));
  }
}

TEST_F(LoadTest, PodsTurnOnWhatGrantsRightsOnlyWhereTheHostSaysSo) {
  const std::string name = "io.katacontainers.config.runtime.rootfs_layers";
  const std::string off = "[runtime]\nrootfs_layers = false\n";
  auto loaded = LoadText("[hypervisor.qemu]\n" + off);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_TRUE(ApplyAnnotations({{name, "false"}}, &*loaded));
  const auto applied = ApplyAnnotations({{name, "true"}}, &*loaded);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code(), Code::kPermissionDenied);
  EXPECT_THAT(applied.error().message(),
              HasSubstr(name + ": not allowed on this host; add \"rootfs_layers\" to"));

  auto allowed = LoadText("[hypervisor.qemu]\nenable_annotations = [\"rootfs_layers\"]\n" + off);
  ASSERT_TRUE(allowed) << allowed.error().message();
  EXPECT_TRUE(ApplyAnnotations({{name, "true"}}, &*allowed));
  EXPECT_TRUE(allowed->config.runtime.rootfs_layers);

  auto on = LoadText("[hypervisor.qemu]\n[runtime]\nrootfs_layers = true\n");
  ASSERT_TRUE(on) << on.error().message();
  EXPECT_TRUE(ApplyAnnotations({{name, "true"}}, &*on));
}

TEST_F(LoadTest, WhatPodsDenyIsDeniedBesideWhatTheHostDenies) {
  const std::string prefix = "io.katacontainers.config.runtime.";
  auto loaded = LoadText("[runtime]\negress_deny = [\"10.0.0.0/8\", \"25/tcp\"]\n");
  ASSERT_TRUE(loaded) << loaded.error().message();
  const auto applied =
      ApplyAnnotations({{prefix + "egress_deny", "0.0.0.0/0; ::/0"},
                        {prefix + "egress_allow", "192.0.2.1 443/tcp ;192.0.2.2 53/udp"}},
                       &*loaded);
  ASSERT_TRUE(applied) << applied.error().message();
  const RuntimeConfig& runtime = loaded->config.runtime;
  EXPECT_EQ(runtime.egress_deny, (StringList{"10.0.0.0/8", "25/tcp"}));
  EXPECT_TRUE(runtime.egress_allow.empty());
  EXPECT_EQ(runtime.pod_egress_deny, (StringList{"0.0.0.0/0", "::/0"}));
  EXPECT_EQ(runtime.pod_egress_allow.size(), 2U);
  const auto wrong = ApplyAnnotations({{prefix + "egress_deny", "10.0.0.0/99"}}, &*loaded);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message(), HasSubstr(prefix + "egress_deny = \"10.0.0.0/99\":"));
  EXPECT_THAT(ErrorOf("[runtime]\n\negress_allow = [\"example.com\"]\n"),
              HasSubstr("c.toml:3: [runtime] egress_allow = [\"example.com\"]: "));
}

TEST(Nearest, FindsSmallMistakesOnly) {
  constexpr std::string_view kWords[] = {"default_memory", "default_vcpus", "path"};
  EXPECT_EQ(Nearest("defaultmemory", kWords), "default_memory");
  EXPECT_EQ(Nearest("default_vcpu", kWords), "default_vcpus");
  EXPECT_EQ(Nearest("colour", kWords), "");
  EXPECT_EQ(Nearest(std::string(1000, 'a'), kWords), "");
}

}  // namespace
}  // namespace kata::config
