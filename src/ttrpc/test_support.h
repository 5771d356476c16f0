// SPDX-License-Identifier: Apache-2.0
//
// ttrpc/test_support.h - what the tests of this folder share.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::ttrpc {

struct SocketPair {
  sys::UniqueFd a;
  sys::UniqueFd b;
};

inline SocketPair MakeSocketPair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  return {sys::UniqueFd(fds[0]), sys::UniqueFd(fds[1])};
}

// An event loop that runs on a thread of its own until the object goes.
class LoopThread {
 public:
  LoopThread() { Restart(); }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;
  ~LoopThread() { Stop(); }

  sys::EventLoop& get() { return *loop_; }

  // Returns when `work` has run on the loop's thread.
  void RunOnLoop(std::function<void()> work) {
    const auto done = std::make_shared<std::promise<void>>();
    loop_->Post([&work, done] {
      work();
      done->set_value();
    });
    done->get_future().wait();
  }

  // Ends the thread and destroys the loop.
  void Stop() {
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
    loop_.reset();
  }

  // After Stop(): a new loop.
  void Restart() {
    loop_ = sys::EventLoop::Create().value();
    thread_ = std::thread([this] { EXPECT_TRUE(loop_->Run()); });
  }

 private:
  std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
};

}  // namespace kata::ttrpc
