// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/endpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::stdio {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Uri, UnderstandsEveryForm) {
  EXPECT_EQ(ParseUri("")->kind, Uri::Kind::kNone);
  EXPECT_EQ(ParseUri("/run/x")->kind, Uri::Kind::kFifo);
  EXPECT_EQ(ParseUri("fifo:///run/x")->path, "/run/x");
  const Uri file = ParseUri("file:///var/log/a%20b.log").value();
  EXPECT_EQ(file.kind, Uri::Kind::kFile);
  EXPECT_EQ(file.path, "/var/log/a b.log");
  const Uri binary = ParseUri("binary:///usr/bin/logger?-f=%2Fx&id=a+b&flag").value();
  EXPECT_EQ(binary.kind, Uri::Kind::kBinary);
  EXPECT_EQ(binary.path, "/usr/bin/logger");
  EXPECT_THAT(binary.arguments, ElementsAre("-f", "/x", "id", "a b", "flag", ""));
}

TEST(Uri, RefusesWhatItCannotServe) {
  for (const char* text : {"relative", "http://x/y", "file://relative", "binary://", "file:///%",
                           "file:///a%4", "file:///a%zz", "file:///a%00"}) {
    const auto uri = ParseUri(text);
    ASSERT_FALSE(uri) << text;
    EXPECT_EQ(uri.error().code(), Code::kInvalidArgument) << text;
    EXPECT_THAT(uri.error().message(), HasSubstr(text));
  }
}

class EndpointTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-stdio-test-XXXXXX";
    dir_ = ::mkdtemp(name);
    fifo_ = dir_ + "/fifo";
    ASSERT_EQ(::mkfifo(fifo_.c_str(), 0600), 0);
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(dir_)); }
  std::string dir_, fifo_;
};

TEST_F(EndpointTest, AFifoOpensWithoutItsReaderWhoIsMissed) {
  EXPECT_TRUE(OpenOutput(ParseUri(fifo_).value()).value().reader_is_late);
  const auto reader = sys::Open(fifo_, O_RDONLY | O_NONBLOCK).value();
  EXPECT_FALSE(OpenOutput(ParseUri(fifo_).value()).value().reader_is_late);
  EXPECT_EQ(OpenOutput(ParseUri(dir_ + "/none").value()).error().code(), Code::kNotFound);
}

TEST_F(EndpointTest, AFileIsAppendedToAndItsDirectoryMade) {
  const Uri uri = ParseUri("file://" + dir_ + "/logs/a.log").value();
  ASSERT_TRUE(sys::WriteAll(OpenOutput(uri)->fd.get(), "one"));
  ASSERT_TRUE(sys::WriteAll(OpenOutput(uri)->fd.get(), "two"));
  EXPECT_EQ(sys::ReadFile(dir_ + "/logs/a.log").value(), "onetwo");
}

TEST_F(EndpointTest, InputEndsOnlyWhenTheKeeperIsGoneToo) {
  Input input = OpenInput(fifo_).value();
  {
    const auto client = sys::Open(fifo_, O_WRONLY | O_NONBLOCK).value();
  }
  char c;
  EXPECT_EQ(::read(input.reader.get(), &c, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  input.keeper.Reset();
  EXPECT_EQ(::read(input.reader.get(), &c, 1), 0);
}

TEST_F(EndpointTest, InputMustBeAFifo) {
  ASSERT_TRUE(sys::WriteFile(dir_ + "/file", ""));
  EXPECT_EQ(OpenInput(dir_ + "/file").error().code(), Code::kInvalidArgument);
}

TEST_F(EndpointTest, NothingNamedAndDevNullAreNoInput) {
  EXPECT_FALSE(HasInput("").value());
  EXPECT_FALSE(HasInput("/dev/null").value());
  EXPECT_TRUE(HasInput(fifo_).value());
  EXPECT_EQ(HasInput(dir_ + "/none").error().code(), Code::kNotFound);
  EXPECT_EQ(HasInput("/dev/zero").error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kata::stdio
