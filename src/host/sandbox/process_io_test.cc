// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/process_io.h"

#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "sys/event_loop.h"

namespace kata::sandbox {
namespace {

TEST(ProcessIo, TellsEverybodyWhoAsksThatItsOutputHasArrived) {
  const auto loop = sys::EventLoop::Create().value();
  std::thread thread([&] { EXPECT_TRUE(loop->Run()); });
  {
    const auto io = ProcessIo::Open(*loop, {}, "", "c1").value();
    std::promise<void> first;
    std::promise<void> second;
    io->AfterOutput([&] { first.set_value(); });
    io->AfterOutput([&] { second.set_value(); });
    constexpr auto kPatience = std::chrono::seconds(60);
    EXPECT_EQ(first.get_future().wait_for(kPatience), std::future_status::ready);
    EXPECT_EQ(second.get_future().wait_for(kPatience), std::future_status::ready);
    io->Close();
  }
  loop->Stop();
  thread.join();
}

}  // namespace
}  // namespace kata::sandbox
