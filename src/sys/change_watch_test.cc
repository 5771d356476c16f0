// SPDX-License-Identifier: Apache-2.0
#include "sys/change_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sys {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Inotify, TellsOfEachWatchOnceHoweverMuchHasHappened) {
  const TemporaryDir directory{"inotify"};
  const auto inotify = Inotify::Create();
  ASSERT_TRUE(inotify);
  const auto folder = Open(directory.path(), O_PATH | O_DIRECTORY);
  const auto watch = inotify->Watch(folder->get(), IN_CREATE | IN_MOVED_TO);
  ASSERT_TRUE(watch);
  EXPECT_EQ(inotify->Watch(folder->get(), IN_CREATE | IN_MOVED_TO).value_or(-1), *watch);
  EXPECT_THAT(inotify->Take()->watches, IsEmpty());
  for (const char* name : {"/a", "/b"}) ASSERT_TRUE(WriteFile(directory.path() + name, "x"));
  pollfd ready{.fd = inotify->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ready, 1, 0), 1);
  const auto events = inotify->Take();
  ASSERT_TRUE(events);
  EXPECT_THAT(events->watches, ElementsAre(*watch));
  EXPECT_FALSE(events->lost);
  inotify->Forget(*watch);
  ASSERT_TRUE(inotify->Take());
  ASSERT_TRUE(WriteFile(directory.path() + "/c", "x"));
  EXPECT_THAT(inotify->Take()->watches, IsEmpty());
}

}  // namespace
}  // namespace kata::sys
