// SPDX-License-Identifier: Apache-2.0
//
// The Task API on a fake host.
#include "host/shim/task_service.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/shim/testing/task_bed.h"

namespace kata::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

TEST(TaskService, APodLivesFromItsFirstCreateToItsLastDelete) {
  TaskBed bed;
  bed.StartPod();
  const auto waiting = bed.Wait("pod");
  ASSERT_TRUE(bed.Create("m").get());
  ASSERT_TRUE(bed.Start("m").get());
  ASSERT_TRUE(bed.Exec("m", "x").get());
  ASSERT_TRUE(bed.Start("m", "x").get());
  EXPECT_THAT(bed.host().agent()->Running(), UnorderedElementsAre("pod", "m", "m/x"));
  EXPECT_EQ(bed.host().disks().size(), 2u);
  auto end_of_x = bed.Wait("m", "x");
  bed.host().agent()->End("m", "x", 3);
  EXPECT_EQ(end_of_x.get().value().exit_status(), 3u);
  ASSERT_TRUE(bed.Delete("m", "x").get());
  auto end_of_m = bed.Wait("m");
  ASSERT_TRUE(bed.Kill("m").get());
  EXPECT_EQ(end_of_m.get().value().exit_status(), 137u);
  ASSERT_TRUE(bed.Delete("m").get());
  EXPECT_THAT(bed.host().agent()->Containers(), ElementsAre("pod"));
  EXPECT_EQ(bed.host().disks().size(), 1u);
  ASSERT_TRUE(bed.Shutdown().get());
  EXPECT_FALSE(bed.ended());
  auto end_of_pod = bed.Wait("pod");
  ASSERT_TRUE(bed.Kill("pod").get());
  ASSERT_TRUE(end_of_pod.get());
  ASSERT_TRUE(bed.Delete("pod").get());
  EXPECT_EQ(bed.host().vms(), 0u);
  ASSERT_TRUE(bed.Shutdown().get());
  EXPECT_TRUE(WaitUntil([&] { return bed.ended(); }));
  EXPECT_TRUE(WaitUntil([&] { return bed.events().Has("delete pod"); }));
  EXPECT_THAT(bed.events().all(), ElementsAre("create pod", "start pod", "create m", "start m",
                                              "add m/x", "start m/x", "exit m/x", "delete m/x",
                                              "exit m", "delete m", "exit pod", "delete pod"));
}

}  // namespace
}  // namespace kata::shim
