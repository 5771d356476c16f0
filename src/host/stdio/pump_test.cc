// SPDX-License-Identifier: Apache-2.0
#include "host/stdio/pump.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <string>

#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::stdio {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PumpTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = sys::EventLoop::Create().value();
    pipe_ = sys::MakePipe(O_NONBLOCK).value();
    loop_->RunAfter(seconds(30), [this] {
      ADD_FAILURE() << "no end within the deadline";
      loop_->Stop();
    });
  }

  // A guest that says `chunks`, then ends.
  OutputPump::ReadGuest Guest(std::deque<std::string> chunks) {
    return [this, chunks](auto answer) mutable {
      ++asked_;
      std::string next;
      if (!chunks.empty()) {
        next = chunks.front();
        chunks.pop_front();
      }
      loop_->Post([answer = std::move(answer), next]() mutable { answer(next); });
    };
  }

  // Into a guest that takes all of it as `taken_`, until its end.
  std::shared_ptr<InputPump> Input(sys::UniqueFd reader) {
    return std::make_shared<InputPump>(
        *loop_, std::move(reader), sys::UniqueFd(),
        [this](std::string data, auto taken) {
          taken_ += data;
          loop_->Post([taken = std::move(taken)]() mutable { taken(Result<void>()); });
        },
        [this] { loop_->Stop(); });
  }

  std::unique_ptr<sys::EventLoop> loop_;
  sys::Pipe pipe_;
  int asked_ = 0;
  std::string taken_;
};

TEST_F(PumpTest, MovesOutputInOrderAndEnds) {
  auto pump = std::make_shared<OutputPump>(*loop_, Output{std::move(pipe_.write)},
                                           Guest({"ab", "c", "def"}), [&] { loop_->Stop(); });
  pump->Start();
  ASSERT_TRUE(loop_->Run());
  EXPECT_TRUE(pump->finished());
  EXPECT_EQ(sys::ReadToEnd(pipe_.read.get(), 100).value(), "abcdef");
}

TEST_F(PumpTest, RefusesOutputOnceWhenItsReaderHasGone) {
  std::signal(SIGPIPE, SIG_IGN);
  pipe_.read.Reset();
  int refused = 0;
  auto pump = std::make_shared<OutputPump>(
      *loop_, Output{std::move(pipe_.write)}, Guest({"ab", "c", "def"}), [&] { loop_->Stop(); },
      [&] { ++refused; });
  pump->Start();
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(refused, 1);
}

TEST_F(PumpTest, AsksForNoMoreWhileTheReaderIsSlow) {
  const std::string chunk(256 << 10, 'x');
  auto pump = std::make_shared<OutputPump>(*loop_, Output{std::move(pipe_.write)},
                                           Guest({chunk, chunk}), [&] { loop_->Stop(); });
  pump->Start();
  std::string got;
  loop_->RunAfter(milliseconds(50), [&] {
    EXPECT_EQ(asked_, 1);
    ASSERT_TRUE(loop_->Add(pipe_.read.get(), EPOLLIN, [&](uint32_t) {
      char buffer[65536];
      const ssize_t n = ::read(pipe_.read.get(), buffer, sizeof buffer);
      if (n > 0) got.append(buffer, static_cast<size_t>(n));
    }));
  });
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(asked_, 3);
  got += sys::ReadToEnd(pipe_.read.get(), 1 << 20).value();
  EXPECT_EQ(got.size(), 2 * chunk.size());
}

TEST_F(PumpTest, DrainsTheGuestWhenNobodyTakesTheOutput) {
  auto pump =
      std::make_shared<OutputPump>(*loop_, Output(), Guest({"a", "b"}), [&] { loop_->Stop(); });
  pump->Start();
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(asked_, 3);
}

TEST_F(PumpTest, KeepsDrainingAfterTheReaderDied) {
  std::signal(SIGPIPE, SIG_IGN);
  pipe_.read.Reset();
  auto pump = std::make_shared<OutputPump>(*loop_, Output{std::move(pipe_.write)},
                                           Guest({"a", "b"}), [&] { loop_->Stop(); });
  pump->Start();
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(asked_, 3);
}

class FifoPumpTest : public PumpTest {
 protected:
  void SetUp() override {
    PumpTest::SetUp();
    ASSERT_NE(::mkdtemp(dir_), nullptr);
    path_ = std::string(dir_) + "/fifo";
    ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  }
  void TearDown() override { EXPECT_TRUE(sys::RemoveTree(dir_)); }

  std::shared_ptr<OutputPump> Pump(std::deque<std::string> chunks) {
    return std::make_shared<OutputPump>(
        *loop_, OpenOutput({.kind = Uri::Kind::kFifo, .path = path_, .arguments = {}}).value(),
        Guest(std::move(chunks)), [this] { loop_->Stop(); });
  }
  sys::UniqueFd Reader() { return sys::Open(path_, O_RDONLY | O_NONBLOCK).value(); }

  char dir_[32] = "/tmp/kata-pump-test-XXXXXX";
  std::string path_;
};

TEST_F(FifoPumpTest, AReaderWhoComesAfterTheEndGetsEverything) {
  const auto pump = Pump({"ab", "c"});
  pump->Start();
  std::string got(16, '\0');
  loop_->RunAfter(milliseconds(50), [&] {
    EXPECT_FALSE(pump->finished());
    const auto reader = Reader();
    got.resize(static_cast<size_t>(::read(reader.get(), got.data(), got.size())));
  });
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(got, "abc");
}

TEST_F(FifoPumpTest, EndsWhenItsReaderHasTakenEverything) {
  const auto reader = Reader();
  const auto pump = Pump({"ab", "c"});
  pump->Start();
  loop_->RunAfter(milliseconds(50), [&] {
    EXPECT_FALSE(pump->finished());
    char taken[16];
    EXPECT_EQ(::read(reader.get(), taken, sizeof taken), 3);
  });
  ASSERT_TRUE(loop_->Run());
  EXPECT_TRUE(pump->finished());
}

TEST_F(FifoPumpTest, EndsWhenItsReaderLeaves) {
  auto reader = Reader();
  const auto pump = Pump({"ab"});
  pump->Start();
  loop_->RunAfter(milliseconds(50), [&] {
    EXPECT_FALSE(pump->finished());
    reader.Reset();
  });
  ASSERT_TRUE(loop_->Run());
  EXPECT_TRUE(pump->finished());
}

TEST_F(FifoPumpTest, WaitsForNobodyWhereNothingWasSaid) {
  const auto pump = Pump({});
  pump->Start();
  ASSERT_TRUE(loop_->Run());
  EXPECT_TRUE(pump->finished());
}

TEST_F(FifoPumpTest, WaitsForNobodyWhoseReaderHasCome) {
  auto reader = Reader();
  const auto pump = Pump({"ab"});
  reader.Reset();
  pump->Start();
  ASSERT_TRUE(loop_->Run());
  EXPECT_TRUE(pump->finished());
}

TEST_F(FifoPumpTest, FinishEndsTheWait) {
  const auto pump = Pump({"ab"});
  pump->Start();
  loop_->RunAfter(milliseconds(50), [&] { pump->Finish(); });
  ASSERT_TRUE(loop_->Run());
  EXPECT_TRUE(pump->finished());
}

TEST_F(PumpTest, MovesInputAndTellsItsEnd) {
  const auto pump = Input(std::move(pipe_.read));
  pump->Start();
  ASSERT_TRUE(sys::WriteAll(pipe_.write.get(), "hello"));
  pipe_.write.Reset();
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(taken_, "hello");
}

// Nobody tells of the end of such a fifo.
TEST_F(PumpTest, InputFromAFifoWithoutAWriterEnds) {
  char dir[] = "/tmp/kata-pump-test-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string path = std::string(dir) + "/fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  auto reader = sys::Open(path, O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(reader);
  const auto held = sys::Open(path, O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(sys::WriteAll(sys::Open(path, O_WRONLY | O_NONBLOCK)->get(), "left"));
  // Opened after its writer has gone.
  reader = sys::Open(path, O_RDONLY | O_NONBLOCK);
  const auto pump = Input(*std::move(reader));
  pump->Start();
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(taken_, "left");
  EXPECT_TRUE(sys::RemoveTree(dir));
}

TEST_F(PumpTest, StopsReadingInputWhenTheProcessIsGone) {
  int taken_chunks = 0;
  auto pump = std::make_shared<InputPump>(
      *loop_, std::move(pipe_.read), sys::UniqueFd(),
      [&](std::string, auto taken) {
        ++taken_chunks;
        taken(Fail(Code::kNotFound, "no such process"));
        loop_->Stop();
      },
      [] { FAIL() << "not the end of the input"; });
  pump->Start();
  ASSERT_TRUE(sys::WriteAll(pipe_.write.get(), "hello"));
  ASSERT_TRUE(loop_->Run());
  EXPECT_EQ(taken_chunks, 1);
}

}  // namespace
}  // namespace kata::stdio
