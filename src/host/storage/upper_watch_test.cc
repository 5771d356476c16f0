// SPDX-License-Identifier: Apache-2.0
#include "host/storage/upper_watch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/deadline.h"
#include "base/mutex.h"
#include "sys/files.h"
#include "sys/fs_context.h"
#include "sys/mounts.h"
#include "sys/temporary_dir.h"

namespace kata::storage {
namespace {

constexpr auto kLong = std::chrono::seconds(60);

// A process that does what it is told: 'd' makes a directory, 'f' a file.
class Writer {
 public:
  Writer() {
    sys::Pipe orders = sys::MakePipe().value();
    sys::Pipe answers = sys::MakePipe().value();
    pid_ = ::fork();
    if (pid_ == 0) Serve(orders.read.get(), answers.write.get());
    orders_ = std::move(orders.write);
    answers_ = std::move(answers.read);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  void Do(char what, const std::string& path) {
    Order order{};
    order[0] = what;
    path.copy(order.data() + 1, order.size() - 2);
    ASSERT_EQ(::write(orders_.get(), order.data(), order.size()),
              static_cast<ssize_t>(order.size()));
    char answer = 0;
    ASSERT_EQ(::read(answers_.get(), &answer, 1), 1);
    ASSERT_EQ(answer, 'y') << what << " " << path;
  }

 private:
  using Order = std::array<char, 512>;
  [[noreturn]] static void Serve(int orders, int answers) {
    Order order{};
    while (::read(orders, order.data(), order.size()) == static_cast<ssize_t>(order.size())) {
      const char* const path = order.data() + 1;
      const bool done = order[0] == 'd' ? ::mkdir(path, 0755) == 0
                                        : ::close(::open(path, O_CREAT | O_WRONLY, 0644)) == 0;
      (void)!::write(answers, done ? "y" : "n", 1);
    }
    ::_exit(0);
  }
  pid_t pid_;
  sys::UniqueFd orders_, answers_;
};

class UpperWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "watching needs root";
    ASSERT_TRUE(sys::MakeDirs(upper_));
  }
  void Start(size_t max_directories = UpperWatch::kMaxDirectories) {
    auto watch = watches_.Add(sys::Open(upper_, O_RDONLY | O_DIRECTORY).value(), guest_.pid(),
                              {.guest_wrote = [this] { Tell(&guest_wrote_); },
                               .host_wrote = [this] { Tell(&host_wrote_); }},
                              max_directories);
    if (!watch && watch.error().code() == Code::kUnimplemented) {
      GTEST_SKIP() << watch.error().message();
    }
    ASSERT_TRUE(watch) << watch.error().message();
    watch_ = *std::move(watch);
  }
  void Tell(int* count) {
    const MutexLock lock(mutex_);
    ++*count;
    told_.NotifyAll();
  }
  bool Await(const int* count, int at_least) {
    const MutexLock lock(mutex_);
    return told_.WaitUntil(mutex_, Deadline::After(kLong), [&] { return *count >= at_least; });
  }
  int Count(const int* count) {
    const MutexLock lock(mutex_);
    return *count;
  }
  // Whatever was told so far.
  void Forget() {
    const MutexLock lock(mutex_);
    guest_wrote_ = host_wrote_ = 0;
  }

  sys::TemporaryDir dir_{"upper-watch"};
  const std::string upper_ = dir_.path() + "/upper";
  Writer guest_;
  Mutex mutex_;
  CondVar told_;
  int guest_wrote_ = 0;
  int host_wrote_ = 0;
  UpperWatches watches_;
  std::unique_ptr<UpperWatch> watch_;
};

TEST_F(UpperWatchTest, TheSideThatDidNotWriteIsTold) {
  Start();
  guest_.Do('f', upper_ + "/guest");
  EXPECT_TRUE(Await(&guest_wrote_, 1));
  EXPECT_EQ(Count(&host_wrote_), 0);
  Forget();
  ASSERT_TRUE(sys::WriteFile(upper_ + "/host", "x"));
  EXPECT_TRUE(Await(&host_wrote_, 1));
  EXPECT_EQ(Count(&guest_wrote_), 0);
}

// What it knows of names may be older than the change.
TEST_F(UpperWatchTest, TheGuestIsToldAgain) {
  Start();
  ASSERT_TRUE(sys::MakeDirs(upper_ + "/host"));
  EXPECT_TRUE(Await(&host_wrote_, 3));
  EXPECT_EQ(Count(&guest_wrote_), 0);
}

TEST_F(UpperWatchTest, DirectoriesAreWatchedAsTheyAppear) {
  ASSERT_TRUE(sys::MakeDirs(upper_ + "/a/b"));
  ASSERT_TRUE(sys::MakeDirs(dir_.path() + "/work/tree/below"));
  Start();
  guest_.Do('d', upper_ + "/a/b/c");
  ASSERT_TRUE(Await(&guest_wrote_, 1));
  Forget();
  guest_.Do('f', upper_ + "/a/b/c/guest");
  ASSERT_TRUE(Await(&guest_wrote_, 1));
  // As an overlay does it: made elsewhere, and moved.
  ASSERT_EQ(::rename((dir_.path() + "/work/tree").c_str(), (upper_ + "/tree").c_str()), 0);
  ASSERT_TRUE(Await(&host_wrote_, 1));
  Forget();
  guest_.Do('f', upper_ + "/tree/below/guest");
  EXPECT_TRUE(Await(&guest_wrote_, 1));
}

TEST_F(UpperWatchTest, ATreeThatIsTooLargeIsLookedAtAgainAndAgain) {
  for (const char* name : {"/1", "/2", "/3", "/1/below"}) {
    ASSERT_TRUE(sys::MakeDirs(upper_ + name));
  }
  Start(3);
  guest_.Do('f', upper_ + "/guest");
  EXPECT_TRUE(Await(&guest_wrote_, 2));
  EXPECT_TRUE(Await(&host_wrote_, 2));
}

// A host has 128 listeners, where nobody has raised it.
TEST_F(UpperWatchTest, OneListenerServesMoreLayersThanTheHostHasListeners) {
  Start();
  std::vector<std::unique_ptr<UpperWatch>> more;
  int wrote = 0;
  const auto limit = sys::ReadFile("/proc/sys/fs/fanotify/max_user_groups");
  if (!limit) GTEST_SKIP() << limit.error().message();
  constexpr int kMost = 2000;
  const int layers = std::min(std::stoi(*limit), kMost) + 2;
  for (int i = 0; i < layers; ++i) {
    const std::string upper = fmt::format("{}/{}", dir_.path(), i);
    ASSERT_TRUE(sys::MakeDirs(upper));
    auto watch = watches_.Add(sys::Open(upper, O_RDONLY | O_DIRECTORY).value(), guest_.pid(),
                              {.guest_wrote = [&] { Tell(&wrote); }, .host_wrote = [] {}});
    ASSERT_TRUE(watch) << i << ": " << watch.error().message();
    more.push_back(*std::move(watch));
  }
  // Each is told of its own changes.
  guest_.Do('f', fmt::format("{}/{}/guest", dir_.path(), layers - 1));
  ASSERT_TRUE(Await(&wrote, 1));
  EXPECT_EQ(Count(&guest_wrote_), 0);
  guest_.Do('f', upper_ + "/guest");
  EXPECT_TRUE(Await(&guest_wrote_, 1));
  EXPECT_EQ(Count(&wrote), 1);
}

TEST_F(UpperWatchTest, OneThatIsTakenOutIsNotCalledAnyMoreAndLeavesTheOthers) {
  Start();
  const std::string upper = dir_.path() + "/other";
  ASSERT_TRUE(sys::MakeDirs(upper));
  int wrote = 0;
  auto other = watches_.Add(sys::Open(upper, O_RDONLY | O_DIRECTORY).value(), guest_.pid(),
                            {.guest_wrote = [&] { Tell(&wrote); }, .host_wrote = [] {}});
  ASSERT_TRUE(other) << other.error().message();
  other->reset();
  guest_.Do('f', upper + "/guest");
  guest_.Do('f', upper_ + "/guest");
  EXPECT_TRUE(Await(&guest_wrote_, 1));
  EXPECT_EQ(Count(&wrote), 0);
}

// What all of it is for.
TEST_F(UpperWatchTest, AnOverlayThatLooksAnewSeesWhatItMissed) {
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_TRUE(sys::SetPropagation("/", MS_PRIVATE | MS_REC));
  for (const char* name : {"/lower", "/work", "/merged"}) {
    ASSERT_TRUE(sys::MakeDirs(dir_.path() + name));
  }
  const std::string merged = dir_.path() + "/merged";
  const auto mounted = sys::Mount("overlay", merged, "overlay", 0UL,
                                  "lowerdir=" + dir_.path() + "/lower,upperdir=" + upper_ +
                                      ",workdir=" + dir_.path() + "/work");
  if (!mounted) GTEST_SKIP() << mounted.error().message();
  Start();
  EXPECT_FALSE(sys::Exists(merged + "/new"));
  guest_.Do('f', upper_ + "/new");
  ASSERT_TRUE(Await(&guest_wrote_, 1));
  EXPECT_FALSE(sys::Exists(merged + "/new"));
  ASSERT_TRUE(sys::FsContext::Pick(merged).value().Reconfigure());
  EXPECT_TRUE(sys::Exists(merged + "/new"));
  watch_.reset();
  ASSERT_EQ(::umount2(merged.c_str(), 0), 0);
}

}  // namespace
}  // namespace kata::storage
