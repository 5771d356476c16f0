// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/step.h - running one program after the other, until a person has had enough.
#pragma once

#include <functional>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::cli::doctor {

// SIGINT, SIGTERM and SIGHUP as something to wait for. Make it before any thread: they stay blocked
// for as long as the process lives, so that what has begun can be undone first.
class Interrupt {
 public:
  static Result<Interrupt> Make();
  int fd() const { return fd_.get(); }
  // The signal that came, or 0. Once it has come, fd() stays readable until Take().
  int Take();

 private:
  explicit Interrupt(sys::UniqueFd fd) : fd_(std::move(fd)) {}
  sys::UniqueFd fd_;
};

struct StepOutcome {
  sys::ExitStatus status;
  std::string output;  // at most 64 KiB, as all texts here
  std::string errors;
};

// Runs the command to its end; `meanwhile`, if any, is called some times a second. What it prints
// is read when it has ended: processes that it leaves may keep its streams.
//
// cancel  a descriptor that is readable when the caller wants no more, or -1
//
// Errors  kCancelled         `cancel` was readable first
//         kDeadlineExceeded  "did not end within ..."; in both cases it was told to end, and killed
//                            where it did not
//         those of sys::ChildProcess::Spawn
Result<StepOutcome> RunStep(sys::Command command, Deadline deadline, int cancel,
                            const std::function<void()>& meanwhile = {});

}  // namespace kata::cli::doctor
