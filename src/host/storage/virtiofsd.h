// SPDX-License-Identifier: Apache-2.0
//
// host/storage/virtiofsd.h - the daemon that serves the shared directory to the VMM.
//
// Works with the virtiofsd written in C and with the one written in Rust, each by what it says of
// itself (virtiofsd_features.h). The daemon confines itself: namespaces of its own, pivoted into
// the shared directory, seccomp on. It ends when the VMM closes its connection; the destructor
// kills it. Basis: virtiofsd(1); vhost-user protocol.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/result.h"
#include "host/storage/virtiofsd_argv.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::storage {

class Virtiofsd {
 public:
  // Errors  kNotFound, kPermissionDenied  no such program, or not executable
  //         kFailedPrecondition           it is no virtiofsd, or does not run
  //         kInvalidArgument              it has no such cache mode
  static Result<std::unique_ptr<Virtiofsd>> Start(const VirtiofsdSpec& spec, Deadline deadline);

  // The VMM's end of the connection. Once.
  sys::UniqueFd TakeConnection() { return std::move(connection_); }

  pid_t pid() const { return process_.pid(); }
  // Readable once the daemon has ended.
  int pidfd() const { return process_.pidfd(); }
  // How the daemon ended, with what it said last. Empty while it runs, and where it ended as it
  // should, because the VMM had gone. For error messages.
  std::string ExitReason();

 private:
  Virtiofsd() = default;
  sys::ChildProcess process_;
  sys::UniqueFd connection_;
  sys::UniqueFd errors_;  // what it writes to stderr waits here, a pipe's worth at most
};

}  // namespace kata::storage
