// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/console_log.h"

#include <gtest/gtest.h>

namespace kata::hypervisor {
namespace {

TEST(ConsoleLog, GivesTheLastLinesInOrder) {
  ConsoleLog log;
  log.Append("one\ntwo\n\nthr");
  log.Append("ee\n");
  EXPECT_EQ(log.Tail(2), "two\nthree");
  EXPECT_EQ(log.Tail(100), "one\ntwo\nthree");
  EXPECT_EQ(log.Tail(0), "");
}

TEST(ConsoleLog, KeepsNoMoreThanItsCapacity) {
  ConsoleLog log(1000);
  for (int i = 0; i < 10000; ++i) log.Append("line " + std::to_string(i) + "\n");
  EXPECT_EQ(log.Tail(2), "line 9998\nline 9999");
  EXPECT_LE(log.Tail(100000, 100000).size(), 1000u);
  EXPECT_EQ(log.Tail(100000, 100000).substr(0, 5), "line ") << "a cut first line must go";
  log.Append(std::string(5000, 'x'));
  EXPECT_LE(log.Tail(10).size(), 1000u);
}

TEST(ConsoleLog, DropsEscapesAndControlBytes) {
  ConsoleLog log;
  log.Append("\x1b[1;31mred\x1b[0m \x07plain\ttab\r\n\xff\xfe\n\x1b[");
  EXPECT_EQ(log.Tail(10), "red ?plain tab\n??");
}

TEST(ConsoleLog, BoundsTheBytesOfATail) {
  ConsoleLog log;
  log.Append(std::string(300, 'a') + "\n" + std::string(300, 'b') + "\n");
  EXPECT_EQ(log.Tail(10, 400), std::string(300, 'b'));
  EXPECT_EQ(log.Tail(10, 100), std::string(100, 'b'));
}

TEST(ConsoleLog, FindsTheLastLineWithAText) {
  ConsoleLog log;
  log.Append("Kernel panic - one\nmore\n[ 1.0] Kernel panic - two\r\nend");
  EXPECT_EQ(log.FindLast("Kernel panic"), "[ 1.0] Kernel panic - two");
  EXPECT_EQ(log.FindLast("absent"), "");
}

}  // namespace
}  // namespace kata::hypervisor
