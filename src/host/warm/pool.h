// SPDX-License-Identifier: Apache-2.0
//
// warm/pool.h - shims with machines that wait, and who gets them.
//
// Each is a process `containerd-shim-kata-v2 warm`, connected by a socket pair: it sends 'r' when
// it is ready, gets the connection of the one who asked for it, and is nobody's child from then on.
// A shim ends when the other end of its pair has closed before that, so the service's end, however
// it comes, ends those that wait and none that was taken.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::warm {

struct PoolOptions {
  std::string program;      // the shim
  std::string config_path;  // for its -config; empty: none
  size_t wanted = 0;
  // Of the host, less than this is never left: nothing is prepared then.
  uint64_t spare_memory_mib = 1024;
  // After a shim was taken, the processors are its own for that long.
  std::chrono::milliseconds refill_after{300};
  // While more threads want to run than there are processors, others are starting, without us as a
  // rule: what is prepared would slow them down. So long that is waited for.
  std::chrono::milliseconds leave_to_others{5000};
  std::chrono::milliseconds first_pause{1000};  // after a failure; doubled up to a minute
};

class Pool {
 public:
  // `gone` hears the name of each shim that has ended without being taken, for its leavings.
  Pool(sys::EventLoop& loop, PoolOptions options, std::function<void(const std::string&)> gone);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  // Those that wait end by themselves, soon.
  ~Pool();

  // Begins to prepare. On the loop's thread, as all below.
  void Fill();
  // Hands `connection` to a ready shim; false: there is none.
  bool Give(int connection);
  // Ends those that wait; others are prepared.
  void Drop();
  // No more are prepared.
  void Close();
  // Whether none that waits is left.
  bool empty() const { return shims_.empty(); }

  // A line of JSON.
  std::string Status() const;

 private:
  struct Shim {
    std::string name;
    sys::ChildProcess process;
    sys::UniqueFd control;  // closed: it is to end
    bool ready = false;
    bool taken = false;
  };
  using Place = std::list<Shim>::iterator;

  Result<void> Prepare();
  void OnControl(Place shim);
  void OnEnd(Place shim);
  void FillAfter(std::chrono::milliseconds pause);
  void Release(Shim& shim);
  size_t Count(bool ready) const;

  sys::EventLoop& loop_;
  const PoolOptions options_;
  const std::function<void(const std::string&)> gone_;
  std::list<Shim> shims_;
  std::list<Shim> taken_;  // to be reaped
  bool closed_ = false;
  std::optional<sys::EventLoop::TimerId> timer_;
  std::chrono::milliseconds pause_{0};   // after the last failure
  std::chrono::milliseconds waited_{0};  // for processors
  uint64_t given_ = 0;
  uint64_t missed_ = 0;
  uint64_t failed_ = 0;
};

}  // namespace kata::warm
