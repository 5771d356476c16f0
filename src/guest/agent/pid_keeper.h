// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/pid_keeper.h - the first process of a pid namespace that containers of a pod share,
// where no container is there as long as the pod: it waits for orphans, and does nothing else.
//
// It is nobody's with no rights, sees no file, and nobody can look into it.
// Basis: pid_namespaces(7).
#pragma once

#include <utility>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::guest {

class PidKeeper {
 public:
  // In a process with one thread.
  static Result<PidKeeper> Start();
  PidKeeper(PidKeeper&&) = default;
  PidKeeper& operator=(PidKeeper&& other) noexcept;
  // With it everything ends that is in the namespace.
  ~PidKeeper();

  // Of the namespace, to be joined.
  int fd() const { return namespace_.get(); }
  // False once it has died: nobody can join what is left.
  bool alive() const;

 private:
  PidKeeper(sys::UniqueFd process, sys::UniqueFd made)
      : process_(std::move(process)), namespace_(std::move(made)) {}

  sys::UniqueFd process_;  // a pidfd
  sys::UniqueFd namespace_;
};

}  // namespace kata::guest
