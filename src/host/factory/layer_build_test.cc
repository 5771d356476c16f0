// SPDX-License-Identifier: Apache-2.0
#include "host/factory/layer_build.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "host/factory/testing/layer_bed.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"

namespace kata::factory {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kTime = seconds(60);

void Quietly(std::string_view /*step*/) {}

class LayerBuildTest : public LayerBed {
 protected:
  LayerBuildTest() { FillLayer(); }
  void SetUp() override {
    if (!sys::FindExecutable("mkfs.erofs")) GTEST_SKIP() << "no mkfs.erofs: erofs-utils is missing";
  }

  Result<LayerImage> Build() const { return BuildLayer(store_, layer_, Quietly); }
  // What the store's directory holds besides its lock and notes.
  std::vector<std::string> Kept() const {
    auto names = sys::ListDirectory(store_root_);
    std::erase_if(names, [](const std::string& name) {
      return name == ".lock" || name.starts_with(".failed-");
    });
    return names;
  }
  std::string Run(const std::vector<std::string>& argv) const {
    sys::Command command;
    command.argv = argv;
    const auto told = sys::RunAndCollect(std::move(command), Deadline::After(kTime));
    EXPECT_TRUE(told && told->status.Success()) << argv[0] << ": " << told->output;
    return told ? told->output : "";
  }
  void MakeGate(const std::string& name) const {
    ASSERT_EQ(::mkfifo((bed_ + "/" + name).c_str(), 0600), 0);
  }

  const LayerStore store_{store_root_, 64};
};

TEST_F(LayerBuildTest, TheImageHoldsTheLayer) {
  const auto built = Build();
  ASSERT_TRUE(built) << built.error().message();
  EXPECT_THAT(Kept(), ElementsAre(built->info.name));
  const std::string out = bed_ + "/out";
  Run({"fsck.erofs", "--extract=" + out, built->path});
  EXPECT_EQ(Run({"diff", "-r", "--no-dereference", layer_ + "/usr", out + "/usr"}), "");
  const auto again = store_.Open(Key());
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->info.name, built->info.name);
}

TEST_F(LayerBuildTest, IsMadeOnce) {
  ASSERT_NO_FATAL_FAILURE(
      ReplaceProgram("[ \"$1\" = --version ] || echo made >>$BED/count\nexec $REAL \"$@\""));
  std::vector<std::jthread> builders;
  for (int i = 0; i < 4; ++i) {
    builders.emplace_back([&] { EXPECT_TRUE(Build()); });
  }
  builders.clear();
  EXPECT_TRUE(Build());
  EXPECT_EQ(ReadBed("count"), "made\n");
}

TEST_F(LayerBuildTest, SmallLayersAreMadeWhereTheyAreWanted) {
  LayerKey key = Key();
  EXPECT_TRUE(IsSmall(key));
  ASSERT_TRUE(MakeLayerImage(key, bed_ + "/small", Deadline::After(kTime)));
  Run({"fsck.erofs", bed_ + "/small"});
  key.entries = 64;
  EXPECT_FALSE(IsSmall(key));
  key = Key();
  key.bytes = 1 << 20;
  EXPECT_FALSE(IsSmall(key));
}

TEST_F(LayerBuildTest, ALayerThatChangesMeanwhileIsNotPublished) {
  ASSERT_NO_FATAL_FAILURE(ReplaceProgram(
      "[ \"$1\" = --version ] || echo more >>$BED/layer/usr/lib/deep/file\nexec $REAL \"$@\""));
  const LayerKey before = Key();
  const auto built = Build();
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kAborted);
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_TRUE(store_.FailedLately(before));
  EXPECT_FALSE(store_.FailedLately(Key())) << "the changed layer is another one";
}

TEST_F(LayerBuildTest, ALayerThatChangesAfterwardsHasNoImage) {
  ASSERT_TRUE(Build());
  ASSERT_TRUE(sys::WriteFile(layer_ + "/usr/lib/deep/file", "changed"));
  EXPECT_EQ(store_.Open(Key()).error().code(), Code::kNotFound);
  const auto again = Build();
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_THAT(Kept(), ElementsAre(again->info.name)) << "nobody can use the old one any more";
}

TEST_F(LayerBuildTest, AProgramThatFailsIsTold) {
  ASSERT_NO_FATAL_FAILURE(ReplaceProgram(
      "[ \"$1\" = --version ] && exec $REAL \"$@\"\necho half >\"$3\"; echo 'no luck'; exit 7"));
  const auto built = Build();
  ASSERT_FALSE(built);
  EXPECT_THAT(built.error().message(), HasSubstr("exit status 7: no luck"));
  EXPECT_THAT(Kept(), IsEmpty());
  EXPECT_TRUE(store_.FailedLately(Key()));
  EXPECT_THAT(store_.Failures(), ElementsAre(HasSubstr("no luck")));
  EXPECT_FALSE(MakeLayerImage(Key(), bed_ + "/small", Deadline::After(kTime)));
  EXPECT_FALSE(sys::Exists(bed_ + "/small"));
}

TEST_F(LayerBuildTest, AProgramThatHangsIsKilled) {
  ASSERT_NO_FATAL_FAILURE(ReplaceProgram(
      "[ \"$1\" = --version ] && exec $REAL \"$@\"\necho half >\"$3\"; exec sleep 600"));
  EXPECT_EQ(MakeLayerImage(Key(), bed_ + "/small", Deadline::After({})).error().code(),
            Code::kDeadlineExceeded);
  EXPECT_FALSE(sys::Exists(bed_ + "/small"));
}

TEST_F(LayerBuildTest, AnImageGrowsNoFurtherThanItsLayerCan) {
  ASSERT_NO_FATAL_FAILURE(
      ReplaceProgram("[ \"$1\" = --version ] && exec $REAL \"$@\"\nexec dd if=/dev/zero of=\"$3\" "
                     "bs=1M count=64"));
  EXPECT_FALSE(MakeLayerImage(Key(), bed_ + "/small", Deadline::After(kTime)));
  EXPECT_FALSE(sys::Exists(bed_ + "/small"));
}

TEST_F(LayerBuildTest, AFullDiskIsTold) {
  const std::string disk = bed_ + "/disk";
  ASSERT_TRUE(sys::MakeDirs(disk));
  ASSERT_TRUE(sys::Mount("tmpfs", disk, "tmpfs", 0, "mode=0700,size=128k"));
  const auto made = MakeLayerImage(Key(), disk + "/image", Deadline::After(kTime));
  EXPECT_EQ(made.error().code(), Code::kResourceExhausted) << made.error().message();
  EXPECT_THAT(sys::ListDirectory(disk), IsEmpty());
  const LayerStore store(disk, 64);
  const auto built = BuildLayer(store, layer_, Quietly);
  EXPECT_EQ(built.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(built.error().message(), HasSubstr("set layers_path"));
  ASSERT_TRUE(sys::Unmount(disk, 0));
}

// Runs `build` in a process of its own, and kills that when what stands in the place of mkfs.erofs
// has written a byte to the gate.
void KillAtGate(const std::string& gate, const std::function<Result<LayerImage>()>& build) {
  const sys::UniqueFd opened(::open(gate.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(opened);
  const pid_t builder = ::fork();
  if (builder == 0) {
    const auto built = build();
    ::_exit(built ? 0 : 1);
  }
  ASSERT_GT(builder, 0);
  EXPECT_TRUE(sys::WaitFor(opened.get(), POLLIN, Deadline::After(kTime)));
  char byte = 0;
  EXPECT_EQ(::read(opened.get(), &byte, 1), 1) << "the gate was not reached";
  ASSERT_EQ(::kill(builder, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(builder, &status, 0), builder);
  ASSERT_TRUE(WIFSIGNALED(status));
  // Its program ends with it, and closes the gate.
  ASSERT_TRUE(sys::WaitFor(opened.get(), POLLHUP, Deadline::After(kTime)));
}

TEST_F(LayerBuildTest, AKilledBuilderIsInNobodysWay) {
  constexpr char kWait[] = "exec 3>$BED/gate; echo >&3; exec sleep 600";
  const std::vector<std::string> steps = {
      kWait,
      std::string("[ \"$1\" = --version ] && exec $REAL \"$@\"\n: >\"$3\"\n") + kWait,
      std::string("[ \"$1\" = --version ] && exec $REAL \"$@\"\nhead -c 9999 /dev/zero >\"$3\"\n") +
          kWait,
      std::string("[ \"$1\" = --version ] && exec $REAL \"$@\"\n$REAL \"$@\"\n") + kWait,
  };
  MakeGate("gate");
  for (const std::string& step : steps) {
    ASSERT_NO_FATAL_FAILURE(ReplaceProgram(step));
    ASSERT_NO_FATAL_FAILURE(KillAtGate(bed_ + "/gate", [&] { return Build(); }));
    EXPECT_EQ(store_.Open(Key()).error().code(), Code::kNotFound) << step;
    EXPECT_THAT(*store_.List(), IsEmpty());
    EXPECT_FALSE(store_.FailedLately(Key()));
  }
  EXPECT_EQ(Kept().size(), 1u) << "what the last one left";
  ASSERT_NO_FATAL_FAILURE(ReplaceProgram("exec $REAL \"$@\""));
  const auto built = Build();
  ASSERT_TRUE(built) << built.error().message();
  EXPECT_THAT(Kept(), ElementsAre(built->info.name));
}

TEST_F(LayerBuildTest, SaysWhichProgramIsMissing) {
  ASSERT_TRUE(sys::MakeDirs(bed_ + "/empty"));
  ::setenv("PATH", (bed_ + "/empty").c_str(), 1);
  const auto none = FindMkfsErofs(bed_ + "/empty");
  EXPECT_EQ(none.error().code(), Code::kNotFound);
  EXPECT_THAT(none.error().message(), HasSubstr("install erofs-utils"));
}

TEST_F(LayerBuildTest, ReadsTheProgramsVersion) {
  const auto real = FindMkfsErofs();
  ASSERT_TRUE(real) << real.error().message();
  EXPECT_THAT(real->version, testing::MatchesRegex("1\\.[0-9.]+"));
  for (const char* told : {"mkfs.erofs 1.5", "mkfs.erofs (erofs-utils) 1.8.6\\nmore 0.1",
                           "odd\\nmkfs.erofs 1.10-g0123", "mkfs.erofs 2.0"}) {
    ASSERT_NO_FATAL_FAILURE(ReplaceProgram(fmt::format("printf '{}\\n'", told)));
    EXPECT_TRUE(FindMkfsErofs()) << told;
  }
  for (const char* told : {"mkfs.erofs 1.4", "mkfs.erofs 0.9", "mkfs.erofs", "nothing", "1.5",
                           "mkfs.erofs 99999999999999999999.1"}) {
    ASSERT_NO_FATAL_FAILURE(ReplaceProgram(fmt::format("printf '{}\\n'", told)));
    const auto found = FindMkfsErofs();
    ASSERT_FALSE(found) << told;
    EXPECT_EQ(found.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(found.error().message(), HasSubstr("install erofs-utils 1.5 or later"));
    EXPECT_EQ(Build().error().code(), Code::kFailedPrecondition);
  }
}

}  // namespace
}  // namespace kata::factory
