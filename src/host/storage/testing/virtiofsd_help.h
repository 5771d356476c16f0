// SPDX-License-Identifier: Apache-2.0
//
// host/storage/testing/virtiofsd_help.h - what --help has the form of, for tests: the options are
// those of 7.2.22, 1.13.2 and 1.14.0, the words between them are not.
#pragma once

namespace kata::storage {

inline constexpr char kHelpOfC[] =
    R"(usage: /usr/lib/qemu/virtiofsd [options]

    -h   --help                this text
    -V   --version             the version
    -d   -o debug              say more (with -f)
    -f                         stay
    -o cache=<mode>            one of "auto, always, none"
    -o flock|no_flock          locks of whole files
    -o log_level=<level>       how much is said
    -o posix_lock|no_posix_lock
                               locks of ranges
    -o readdirplus|no_readdirplus
                               names with attributes
    -o sandbox=namespace|chroot
                               confinement:
                               - namespace: the usual
    -o timeout=<number>        seconds
    -o writeback|no_writeback  late writes
    -o xattr|no_xattr          attributes
    -o announce_submounts      mounts are told
    -o posix_acl/no_posix_acl  ACLs
    -o source=PATH             the directory
    -o modcaps=CAPLIST         capabilities
    --socket-path=PATH         a socket
    --fd=FDNUM                 an open one
    --rlimit-nofile=<num>      open files
    --thread-pool-size=NUM     threads
)";

inline constexpr char kHelpOfRust[] = R"(A daemon.

Usage: virtiofsd --shared-dir <SHARED_DIR> --socket-path <SOCKET_PATH> [OPTIONS]

Options:
      --shared-dir <SHARED_DIR>
          The directory
      --socket-path <SOCKET_PATH>
          A socket
      --fd <FD>
          An open one
      --thread-pool-size <THREAD_POOL_SIZE>
          Threads

          [default: 0]
      --xattr
          Attributes
      --posix-acl[=<never|auto|always>]
          ACLs (with --xattr)
      --sandbox <SANDBOX>
          Confinement (namespace, chroot, none)
      --announce-submounts
          Mounts are told [default]
      --inode-file-handles=<INODE_FILE_HANDLES>
          Handles (never, prefer, mandatory)

          - never: None.
      --cache <CACHE>
          One of (auto, always, never, metadata)
      --no-readdirplus
          Names only
      --writeback
          Late writes
      --log-level <LOG_LEVEL>
          How much is said
      --modcaps=<MODCAPS>
          Capabilities
      --rlimit-nofile <RLIMIT_NOFILE>
          Open files
  -o <COMPAT_OPTIONS>
          In the other's words [deprecated]
  -d
          Say more
  -h, --help
          This text
  -V, --version
          The version
)";

}  // namespace kata::storage
