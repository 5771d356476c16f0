// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime itself, as its users see it.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "host/factory/layer_store.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr auto kTime = std::chrono::seconds(20);

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

Outcome RunProgram(std::vector<std::string> arguments, const std::string& conf_file = "",
                   const std::string& program = KATA_RUNTIME) {
  sys::Pipe out = sys::MakePipe().value();
  sys::Pipe err = sys::MakePipe().value();
  sys::Command command;
  command.argv = {program};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.env = {"PATH=/usr/bin:/bin"};
  if (!conf_file.empty()) command.env->push_back("KATA_CONF_FILE=" + conf_file);
  command.stdout_fd = out.write.get();
  command.stderr_fd = err.write.get();
  auto child = sys::ChildProcess::Spawn(command);
  EXPECT_TRUE(child) << child.error().message();
  out.write.Reset();
  err.write.Reset();
  Outcome outcome;
  std::thread reader([&] { outcome.err = sys::ReadToEnd(err.read.get(), 1 << 20).value(); });
  outcome.out = sys::ReadToEnd(out.read.get(), 1 << 20).value();
  reader.join();
  outcome.status = child->Wait(Deadline::After(kTime)).value().ShellCode();
  return outcome;
}

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    std::string pattern = testing::TempDir() + "kata-runtime-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~ProgramTest() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }
  std::string directory_;
};

TEST_F(ProgramTest, PrintsItsVersionInEveryForm) {
  const Outcome text = RunProgram({"version"});
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.out, StartsWith("kata-runtime version "));
  EXPECT_THAT(text.out, HasSubstr("\nspec: 1."));
  EXPECT_THAT(text.err, IsEmpty());
  const Outcome flag = RunProgram({"--version"});
  EXPECT_EQ(flag.status, 0);
  EXPECT_THAT(flag.out, StartsWith("kata-runtime version "));
  const json report = json::parse(RunProgram({"version", "--json"}).out);
  EXPECT_THAT(text.out, HasSubstr(report.at("version").get<std::string>()));
}

TEST_F(ProgramTest, HelpShowsExamples) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--help"},
                                             {"version", "--help"},
                                             {"check", "--help"},
                                             {"env", "--help"},
                                             {"layers", "--help"},
                                             {"setup", "--help"},
                                             {"setup", "docker", "--help"},
                                             {"setup", "cri-o", "--help"}}) {
    const Outcome help = RunProgram(arguments);
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.out, HasSubstr("Examples:"));
    EXPECT_THAT(help.err, IsEmpty());
  }
}

TEST_F(ProgramTest, WrongUsageEndsWithStatus2AndAHint) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--frobnicate", "env"},
                                             {"--log-level", "loud", "env"},
                                             {"setup"},
                                             {"setup", "docker", "--name", "run c"},
                                             {"setup", "docker", "--undo", "--default"}}) {
    const Outcome wrong = RunProgram(arguments);
    EXPECT_EQ(wrong.status, 2);
    EXPECT_THAT(wrong.out, IsEmpty());
    EXPECT_THAT(wrong.err, HasSubstr("kata-runtime --help"));
  }
  EXPECT_THAT(RunProgram({}).err, HasSubstr("Usage:"));
}

TEST_F(ProgramTest, AnUnknownCommandEndsAsRuncsDoes) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"frobnicate"}, {"frobnicate", "-h"}, {"--root", "/x", "frobnicate", "--help"}}) {
    const Outcome wrong = RunProgram(arguments);
    EXPECT_EQ(wrong.status, 3);
    EXPECT_THAT(wrong.out, IsEmpty());
    EXPECT_THAT(wrong.err, HasSubstr("No help topic for 'frobnicate'"));
  }
}

TEST_F(ProgramTest, IsCalledWhatTheLinkToItIsCalled) {
  const std::string link = directory_ + "/runc";
  std::filesystem::create_symlink(KATA_RUNTIME, link);
  EXPECT_THAT(RunProgram({"-v"}, "", link).out, StartsWith("runc version "));
  EXPECT_THAT(RunProgram({"-h"}, "", link).out,
              StartsWith("NAME:\n   runc - Open Container Initiative runtime"));
  EXPECT_THAT(RunProgram({"state", "-h"}, "", link).out, StartsWith("NAME:\n   runc state - "));
  EXPECT_THAT(RunProgram({"state", "-h"}).out, StartsWith("NAME:\n   kata-runtime state - "));
}

TEST_F(ProgramTest, EnvShowsValuesWithTheirOrigin) {
  const std::string file = Write("c.toml", "[hypervisor.qemu]\ndefault_memory = 512\n");
  const Outcome text = RunProgram({"--config", file, "env"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, testing::ContainsRegex("default_memory = 512 +# " + file + ":2\n"));
  EXPECT_THAT(text.out, HasSubstr("[env.accelerator]\nkind = "));

  const json report = json::parse(RunProgram({"env", "--json"}, file).out);
  const json& memory = report.at("configuration").at("hypervisor.qemu").at("default_memory");
  EXPECT_EQ(memory.at("value"), 512);
  EXPECT_EQ(memory.at("source"), file + ":2");
  EXPECT_THAT(report.at("env").at("accelerator").at("kind").get<std::string>(),
              testing::AnyOf("kvm", "tcg"));
}

TEST_F(ProgramTest, BrokenConfigurationIsOneClearError) {
  const std::string file = Write("c.toml", "[hypervisor.qemu]\ndefault_memory = 0\n");
  const Outcome env = RunProgram({"env"}, file);
  EXPECT_EQ(env.status, 1);
  EXPECT_THAT(env.out, IsEmpty());
  EXPECT_THAT(env.err, StartsWith("kata-runtime: " + file + ":2: "));

  const Outcome missing = RunProgram({"env"}, directory_ + "/missing.toml");
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr("No such file or directory"));

  const Outcome check = RunProgram({"check"}, file);
  EXPECT_EQ(check.status, 1);
  EXPECT_THAT(check.out, testing::ContainsRegex("problem +configuration"));
}

TEST_F(ProgramTest, CheckAgreesWithItsOwnLines) {
  const Outcome check = RunProgram({"check", "--json"}, Write("c.toml", ""));
  const json report = json::parse(check.out);
  bool problem = false;
  for (const json& line : report.at("checks")) {
    problem = problem || line.at("verdict") == "problem";
    EXPECT_FALSE(line.at("detail").get<std::string>().empty()) << line;
  }
  EXPECT_EQ(report.at("ok"), !problem);
  EXPECT_EQ(check.status, problem ? 1 : 0);
}

TEST_F(ProgramTest, CheckNamesEachMissingPieceWithARemedy) {
  const std::string file = Write("c.toml",
                                 "[hypervisor.qemu]\n"
                                 "path = \"/nonexistent/qemu\"\n"
                                 "virtio_fs_daemon = \"/nonexistent/virtiofsd\"\n"
                                 "kernel = \"/nonexistent/vmlinux\"\n"
                                 "initrd = \"" +
                                     Write("initrd", "garbage") + "\"\n");
  const json report = json::parse(RunProgram({"check", "--json"}, file).out);
  EXPECT_EQ(report.at("ok"), false);
  for (const char* name : {"qemu", "virtiofsd", "kernel", "initrd"}) {
    for (const json& line : report.at("checks")) {
      if (line.at("name") == name) {
        EXPECT_EQ(line.at("verdict"), "problem") << line;
      }
    }
  }
}

TEST_F(ProgramTest, CheckRefusesTheVmmThatStartRefuses) {
  const auto line_of = [&](const std::string& version) {
    const std::string vmm =
        Write("vmm", "#!/bin/sh\necho 'QEMU emulator version " + version + " (Debian)'\n");
    std::filesystem::permissions(vmm, std::filesystem::perms::owner_all);
    const std::string file = Write("c.toml", "[hypervisor.qemu]\npath = \"" + vmm + "\"\n");
    const json report = json::parse(RunProgram({"check", "--json"}, file).out);
    for (const json& line : report.at("checks")) {
      if (line.at("name") == "qemu") return line;
    }
    return json();
  };
  const json old = line_of("6.2.0");
  EXPECT_EQ(old.at("verdict"), "problem") << old;
  EXPECT_THAT(old.at("detail").get<std::string>(),
              HasSubstr("QEMU 6.2 is too old: 7.2 or later is needed"));
  EXPECT_EQ(old.at("remedy"), "install QEMU 7.2 or later");
  EXPECT_EQ(line_of("7.1.0").at("verdict"), "problem");
  const json good = line_of("7.2.22");
  EXPECT_EQ(good.at("verdict"), "ok") << good;
  EXPECT_THAT(good.at("detail").get<std::string>(), HasSubstr(", version 7.2.22"));
}

TEST_F(ProgramTest, CheckSaysOnWhichKernelRootsAreShared) {
  const std::string kernel = Write("vmlinux", "");
  Write("kernel.info", "kind: distribution\nrelease: 6.12-cloud\nlacks: 9p overlayfs-links\n");
  const std::string file = Write("c.toml", "[hypervisor.qemu]\nkernel = \"" + kernel + "\"\n");
  const json report = json::parse(RunProgram({"check", "--json"}, file).out);
  for (const json& line : report.at("checks")) {
    if (line.at("name") != "layers") continue;
    EXPECT_EQ(line.at("verdict"), "note");
    EXPECT_THAT(line.at("detail").get<std::string>(), HasSubstr("6.12-cloud loses files"));
    return;
  }
  FAIL() << report;
}

TEST_F(ProgramTest, LayersAreListedAndPruned) {
  const std::string conf =
      Write("layers.toml",
            "[hypervisor.qemu]\n[runtime]\nrootfs_layers = false\n[factory]\nlayers_path = \"" +
                directory_ + "/layers\"\n");
  EXPECT_THAT(RunProgram({"layers", "prune", "--all"}, conf).out, StartsWith("0 images, 0.0 MiB"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/layers"));
  const factory::LayerStore store(directory_ + "/layers", 0);
  const factory::LayerKey key{.name = std::string(64, 'a'), .directory = directory_, .entries = 70};
  {
    const auto lock = store.Lock(Deadline::After({}));
    const auto image = store.Begin(key, 1 << 20);
    ASSERT_TRUE(image) << image.error().message();
    std::ofstream(*image) << "image";
    ASSERT_TRUE(store.Publish(key));
  }
  const Outcome text = RunProgram({"layers", "list"}, conf);
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, StartsWith("1 image, 0.0 MiB in " + directory_));
  EXPECT_THAT(text.out, HasSubstr("rootfs_layers is off"));
  EXPECT_THAT(text.out, HasSubstr("70 entries"));
  const json report = json::parse(RunProgram({"layers", "list", "--json"}, conf).out);
  EXPECT_EQ(report.at("images").at(0).at("directory"), directory_);
  EXPECT_EQ(report.at("image_bytes"), 5);
  EXPECT_GT(report.at("limit_bytes"), 0);
  EXPECT_EQ(json::parse(RunProgram({"layers", "prune", "--json"}, conf).out).at("removed").size(),
            0u);
  EXPECT_EQ(json::parse(RunProgram({"layers", "prune", "--all", "--json"}, conf).out)
                .at("removed")
                .size(),
            1u);
  EXPECT_THAT(RunProgram({"layers", "list"}, conf).out, StartsWith("0 images"));
}

TEST_F(ProgramTest, LayersThatCannotBeMadeAreToldOneByOne) {
  const std::string conf = Write(
      "layers.toml", "[hypervisor.qemu]\n[factory]\nlayers_path = \"" + directory_ + "/layers\"\n");
  const Outcome outcome = RunProgram({"layers", "build", "/proc", "/nonexistent"}, conf);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("layer \"/proc\": it is on a file system of type"));
  EXPECT_THAT(outcome.err, HasSubstr("\"/nonexistent\": No such file or directory"));
  EXPECT_EQ(RunProgram({"layers", "build"}, conf).status, 2);
}

TEST_F(ProgramTest, GlobalLogOptionTakesWarnings) {
  const std::string file = Write("c.toml", "[hypervisor.qemu]\ndefualt_memory = 512\n");
  const std::string log = directory_ + "/log";
  const Outcome env = RunProgram({"--root", directory_, "--log", log, "env"}, file);
  EXPECT_EQ(env.status, 0);
  EXPECT_THAT(env.err, IsEmpty());
  std::ifstream stream(log);
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  EXPECT_THAT(text, HasSubstr("did you mean"));
}

}  // namespace
}  // namespace kata::cli
