// SPDX-License-Identifier: Apache-2.0
#include "host/plan/copy_update.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using agent::GuestFile;
using testing::ElementsAre;
using testing::IsEmpty;

GuestFile Folder(const std::string& path) {
  return {.path = path, .content = {}, .mode = S_IFDIR | 0755};
}
GuestFile File(const std::string& path, const std::string& text) {
  return {.path = path, .content = text, .mode = S_IFREG | 0644};
}
GuestFile Link(const std::string& path, const std::string& target) {
  return {.path = path, .content = target, .mode = S_IFLNK | 0777};
}

std::vector<std::string> Sent(const CopyUpdate& update) {
  std::vector<std::string> paths;
  for (const GuestFile& file : update.send) paths.push_back(file.path);
  return paths;
}

TEST(CopyUpdate, SendsFilesThenTheSwapThenTheNamesAndRemovesInTheOppositeOrder) {
  const std::vector<GuestFile> before = {Folder("/v"),
                                         Link("/v/old", "..data/old"),
                                         Folder("/v/..1"),
                                         File("/v/..1/key", "1"),
                                         File("/v/..1/old", "o"),
                                         Link("/v/key", "..data/key"),
                                         Link("/v/..data", "..1")};
  const std::vector<GuestFile> now = {Folder("/v"),
                                      Link("/v/new", "..data/new"),
                                      Link("/v/..data", "..2"),
                                      Link("/v/key", "..data/key"),
                                      Folder("/v/..2"),
                                      File("/v/..2/key", "2"),
                                      File("/v/..2/new", "n")};
  const CopyUpdate update = PlanCopyUpdate(before, now);
  EXPECT_THAT(Sent(update),
              ElementsAre("/v/..2", "/v/..2/key", "/v/..2/new", "/v/..data", "/v/new"));
  EXPECT_THAT(update.remove_last, ElementsAre("/v/old", "/v/..1/old", "/v/..1/key", "/v/..1"));
  EXPECT_THAT(update.remove_first, IsEmpty());
}

TEST(CopyUpdate, SendsAllAtFirstAndNothingWhenNothingHasChanged) {
  const std::vector<GuestFile> files = {Folder("/v"), File("/v/key", "1")};
  EXPECT_THAT(Sent(PlanCopyUpdate({}, files)), ElementsAre("/v", "/v/key"));
  const CopyUpdate none = PlanCopyUpdate(files, files);
  EXPECT_THAT(none.send, IsEmpty());
  EXPECT_THAT(none.remove_last, IsEmpty());
}

TEST(CopyUpdate, SendsWhatHasAnotherOwnerModeOrContent) {
  const std::vector<GuestFile> before = {File("/v/a", "x"), File("/v/b", "x"), File("/v/c", "x"),
                                         File("/v/d", "x")};
  std::vector<GuestFile> now = before;
  now[0].content = "y";
  now[1].mode = S_IFREG | 0400;
  now[2].gid = 7;
  EXPECT_THAT(Sent(PlanCopyUpdate(before, now)), ElementsAre("/v/a", "/v/b", "/v/c"));
}

TEST(CopyUpdate, MakesRoomForAnotherKindOfFile) {
  const std::vector<GuestFile> before = {Folder("/v"), Folder("/v/a"), File("/v/a/b", "x"),
                                         Link("/v/a/l", "b"), File("/v/ab", "x")};
  const std::vector<GuestFile> now = {Folder("/v"), Link("/v/a", "ab"), File("/v/ab", "x")};
  const CopyUpdate update = PlanCopyUpdate(before, now);
  EXPECT_THAT(update.remove_first, ElementsAre("/v/a/l", "/v/a/b", "/v/a"));
  EXPECT_THAT(Sent(update), ElementsAre("/v/a"));
  EXPECT_THAT(update.remove_last, IsEmpty());
}

}  // namespace
}  // namespace kata::sandbox
