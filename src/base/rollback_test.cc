// SPDX-License-Identifier: Apache-2.0
#include "base/rollback.h"

#include <string>

#include <gtest/gtest.h>

namespace kata {
namespace {

TEST(Rollback, UndoesLastToFirst) {
  std::string order;
  {
    Rollback undo;
    undo.Add([&] { order += "a"; });
    undo.Add([&] { order += "b"; });
  }
  EXPECT_EQ(order, "ba");
}

TEST(Rollback, DoesNothingOnceReleased) {
  std::string order;
  {
    Rollback undo;
    undo.Add([&] { order += "a"; });
    undo.Release();
  }
  EXPECT_EQ(order, "");
}

}  // namespace
}  // namespace kata
