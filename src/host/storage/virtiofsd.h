// SPDX-License-Identifier: Apache-2.0
//
// host/storage/virtiofsd.h - the daemon that serves the shared directory to the VMM.
//
// Works with the virtiofsd that came with QEMU up to 7.2 and with the one written in Rust. The
// daemon confines itself: namespaces of its own, pivoted into the shared directory, seccomp on. It
// ends when the VMM closes its connection; the destructor kills it.
// Basis: virtiofsd(1); vhost-user protocol.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace kata::storage {

struct VirtiofsdSpec {
  std::string program;                  // absolute path
  std::string shared_directory;         // absolute path
  std::string run_directory;            // holds the socket while the two sides find each other
  std::string cache = "auto";           // auto, always, never, metadata (Rust only)
  std::vector<std::string> extra_args;  // appended as they are
};

// QEMU's, written in C, or the one written in Rust, which deprecates the other's options.
enum class VirtiofsdKind { kQemu, kRust };

// What a daemon is, and how many files it may hold open here.
struct VirtiofsdLimits {
  uint64_t max_files = 0;
  VirtiofsdKind kind = VirtiofsdKind::kRust;
};

// The command line, the listening socket being descriptor 3.
//
// Root file systems and volumes are mounts below the directory: submounts are announced, or their
// inode numbers would collide in the guest.
//
// By itself the cache mode "auto" forgets a file's pages whenever it is opened, so a program is
// read again each time it is run. QEMU's has a timeout for names and attributes; with it, pages
// are kept instead, as long as a file's size and time of change stay the same: what changes on the
// host is seen within the timeout, a tenth of a second, which is also earlier than by "auto"
// itself.
std::vector<std::string> VirtiofsdArguments(const VirtiofsdSpec& spec,
                                            const VirtiofsdLimits& limits);

class Virtiofsd {
 public:
  // Errors  kNotFound, kPermissionDenied  no such program, or not executable
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
