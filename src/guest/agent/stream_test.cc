// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/stream.h"

#include <fcntl.h>
#include <pty.h>

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/agent/test_loop.h"

namespace kata::guest {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class StreamTest : public testing::Test {
 protected:
  StreamTest() {
    ::signal(SIGPIPE, SIG_IGN);
    sys::Pipe pipe = sys::MakePipe(O_NONBLOCK).value();
    read_ = std::move(pipe.read);
    write_ = std::move(pipe.write);
  }

  OutputStream::Done Collect() {
    return [this](Result<std::string> data) { chunks_.push_back(std::move(data)); };
  }
  InputStream::Done Count() {
    return [this](Result<size_t> written) { written_.push_back(std::move(written)); };
  }
  void Say(std::string_view text) { ASSERT_TRUE(sys::WriteAll(write_.get(), text)); }
  std::string Text(size_t index) const { return chunks_.at(index).value_or("<error>"); }

  TestLoop test_;
  sys::UniqueFd read_;
  sys::UniqueFd write_;
  std::vector<Result<std::string>> chunks_;
  std::vector<Result<size_t>> written_;
};

TEST_F(StreamTest, GivesWhatIsThereAtOnceAndUpToTheLimit) {
  OutputStream out(test_.loop(), std::move(read_));
  Say("hello");
  out.Read(3, Always, Collect());
  out.Read(100, Always, Collect());
  ASSERT_THAT(chunks_, SizeIs(1));
  EXPECT_EQ(Text(0), "hel");
  EXPECT_EQ(test_.Run({{[&] { return chunks_.size() == 2; }, [] {}}}), 1u);
  EXPECT_EQ(Text(1), "lo");
}

TEST_F(StreamTest, AnswersReadersInOrderWhenDataComes) {
  OutputStream out(test_.loop(), std::move(read_));
  out.Read(1, Always, Collect());
  out.Read(1, Always, Collect());
  EXPECT_THAT(chunks_, SizeIs(0));
  EXPECT_EQ(test_.Run({{Always, [&] { Say("ab"); }}, {[&] { return chunks_.size() == 2; }, [] {}}}),
            2u);
  EXPECT_EQ(Text(0) + Text(1), "ab");
}

TEST_F(StreamTest, EndsOnlyWhenEveryWriterHasClosed) {
  OutputStream out(test_.loop(), std::move(read_));
  sys::UniqueFd second = sys::Duplicate(write_.get()).value();
  out.Read(10, Always, Collect());
  write_.Reset();
  EXPECT_EQ(test_.Run({{Always,
                        [&] {
                          EXPECT_FALSE(out.at_end());
                          EXPECT_THAT(chunks_, SizeIs(0));
                          second.Reset();
                        }},
                       {[&] { return chunks_.size() == 1; }, [] {}}}),
            2u);
  EXPECT_EQ(Text(0), "");
  EXPECT_TRUE(out.at_end());
  out.Read(10, Always, Collect());
  EXPECT_EQ(Text(1), "");
}

TEST_F(StreamTest, GathersWhatAProcessWritesInALittleAtATime) {
  OutputStream out(test_.loop(), std::move(read_));
  Say("first");
  out.Read(100, Always, Collect());
  ASSERT_THAT(chunks_, SizeIs(1)) << "the first bytes do not wait";
  Say("a");
  out.Read(100, Always, Collect());
  EXPECT_THAT(chunks_, SizeIs(1));
  Say("b");
  write_.Reset();
  EXPECT_EQ(test_.Run({{[&] { return chunks_.size() == 2; }, [] {}}}), 1u);
  EXPECT_EQ(Text(1), "ab");
  out.Read(100, Always, Collect());
  EXPECT_EQ(Text(2), "");
}

TEST_F(StreamTest, GivesNothingToReadersThatHaveGone) {
  OutputStream out(test_.loop(), std::move(read_));
  bool there = true;
  for (int i = 0; i < 10; ++i) out.Read(10, [&] { return there; }, Collect());
  there = false;
  out.Read(10, Always, Collect());
  Say("x");
  EXPECT_EQ(test_.Run({{[&] { return chunks_.size() == 1; }, [] {}}}), 1u);
  EXPECT_EQ(Text(0), "x");
}

TEST_F(StreamTest, BoundsTheNumberOfReaders) {
  OutputStream out(test_.loop(), std::move(read_));
  for (int i = 0; i < 65; ++i) out.Read(10, Always, Collect());
  ASSERT_THAT(chunks_, SizeIs(1));
  EXPECT_EQ(chunks_[0].error().code(), Code::kResourceExhausted);
}

TEST_F(StreamTest, ReadsATerminalsEndAsEndOfFile) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  sys::UniqueFd slave_fd(slave);
  ASSERT_TRUE(sys::SetNonBlocking(master));
  OutputStream out(test_.loop(), sys::UniqueFd(master));
  ASSERT_TRUE(sys::WriteAll(slave, "last"));
  slave_fd.Reset();
  out.Read(10, Always, Collect());
  out.Read(10, Always, Collect());
  EXPECT_EQ(test_.Run({{[&] { return chunks_.size() == 2; }, [] {}}}), 1u);
  EXPECT_EQ(Text(0), "last");
  EXPECT_EQ(Text(1), "");
}

TEST_F(StreamTest, AnswersAWriteWhenAllOfItIsInThePipe) {
  InputStream in(test_.loop(), std::move(write_), false);
  const std::string much(300'000, 'm');
  size_t read = 0;
  in.Write(much, Count());
  in.Write("tail", Count());
  EXPECT_THAT(written_, SizeIs(0));
  std::string got;
  const auto drain = [&] {
    char buffer[65536];
    for (ssize_t n; (n = ::read(read_.get(), buffer, sizeof buffer)) > 0;) {
      got.append(buffer, static_cast<size_t>(n));
      read += static_cast<size_t>(n);
    }
    return read == much.size() + 4;
  };
  EXPECT_EQ(test_.Run({{drain, [] {}}}), 1u);
  ASSERT_THAT(written_, SizeIs(2));
  EXPECT_EQ(written_[0].value(), much.size());
  EXPECT_EQ(written_[1].value(), 4u);
  EXPECT_EQ(got, much + "tail");
}

TEST_F(StreamTest, ClosesAfterWhatWaits) {
  InputStream in(test_.loop(), std::move(write_), false);
  in.Write("end", Count());
  in.Close();
  in.Write("late", Count());
  EXPECT_EQ(sys::ReadToEnd(read_.get(), 100).value(), "end");
  ASSERT_THAT(written_, SizeIs(2));
  EXPECT_EQ(written_[1].error().code(), Code::kFailedPrecondition);
}

TEST_F(StreamTest, FailsWritesThatNobodyCanRead) {
  InputStream in(test_.loop(), std::move(write_), false);
  read_.Reset();
  in.Write("x", Count());
  ASSERT_THAT(written_, SizeIs(1));
  EXPECT_EQ(written_[0].error().error_number(), EPIPE);
}

TEST_F(StreamTest, BoundsWhatWaitsToBeWritten) {
  InputStream in(test_.loop(), std::move(write_), false);
  for (int i = 0; i < 9; ++i) in.Write(std::string(1 << 20, 'x'), Count());
  ASSERT_THAT(written_, SizeIs(1));
  EXPECT_EQ(written_[0].error().code(), Code::kResourceExhausted);
}

TEST_F(StreamTest, FailsWhatWaitsWhenTheProcessHasGone) {
  InputStream in(test_.loop(), std::move(write_), false);
  in.Write(std::string(200'000, 'x'), Count());
  in.Abandon();
  ASSERT_THAT(written_, SizeIs(1));
  EXPECT_EQ(written_[0].error().error_number(), EPIPE);
}

TEST_F(StreamTest, LetsNobodyWaitToWriteAndStillWritesWhatIsSaidToBeWritten) {
  InputStream in(test_.loop(), std::move(write_), false);
  const std::string much(300'000, 'm');
  in.Write(much, Count());
  in.Write("untouched", Count());
  EXPECT_EQ(in.waiting(), 2u);
  in.AnswerWaiting(Error(Code::kAborted, "again"));
  EXPECT_EQ(in.waiting(), 0u);
  ASSERT_THAT(written_, SizeIs(2));
  EXPECT_EQ(written_[0].value(), much.size());
  EXPECT_EQ(written_[1].error().code(), Code::kAborted);
  in.Write("later", Count());
  EXPECT_EQ(in.waiting(), 1u);
  std::string got;
  const auto drain = [&] {
    char buffer[65536];
    for (ssize_t n; (n = ::read(read_.get(), buffer, sizeof buffer)) > 0;) {
      got.append(buffer, static_cast<size_t>(n));
    }
    return got.size() == much.size() + 5;
  };
  EXPECT_EQ(test_.Run({{drain, [] {}}}), 1u);
  EXPECT_EQ(got, much + "later");
  EXPECT_THAT(written_, SizeIs(3));
}

TEST_F(StreamTest, KeepsATerminalOpenWhenInputCloses) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  const sys::UniqueFd slave_fd(slave);
  InputStream in(test_.loop(), sys::UniqueFd(master), true);
  in.Close();
  EXPECT_TRUE(sys::WriteAll(slave, "still a terminal"));
}

}  // namespace
}  // namespace kata::guest
