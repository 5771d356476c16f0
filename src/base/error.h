// SPDX-License-Identifier: Apache-2.0
//
// base/error.h - what went wrong, as a value.
//
// An Error carries a canonical RPC code, so that callers can act on it and ttrpc can put it on the
// wire, an errno where the kernel gave one, and a message that grows on the way up: each layer puts
// what it was doing in front.
//
// Message grammar: operation, subject, cause, lower case, no full stop:
//   connect "/run/vc/vm/ab12/qmp.sock": Connection refused
// If an operator can mend it, the last clause says how.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace kata {

// The canonical codes of gRPC and ttrpc; the numbers are those of google.rpc.Code.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// The code's name as gRPC spells it, such as "NOT_FOUND"; "UNKNOWN" for a number outside the enum.
std::string_view CodeName(Code code);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  // The error of a failed system call: "<operation> <subject>: <strerror>", the code derived from
  // the errno. `error_number` 0 means the current errno. The subject may be empty.
  static Error FromErrno(std::string_view operation, std::string_view subject = {},
                         int error_number = 0);
  // The same code and errno with a message of the caller's own.
  static Error FromErrnoWorded(int error_number, std::string message);

  Code code() const { return code_; }
  // 0 where the error did not come from the kernel.
  int error_number() const { return errno_; }
  const std::string& message() const { return message_; }

  // The same error with "<context>: " in front of its message.
  Error Within(std::string_view context) &&;
  Error Within(std::string_view context) const&;
  // The same message under another code, where a layer knows better what it means to callers.
  Error WithCode(Code code) &&;

 private:
  Code code_;
  int errno_ = 0;
  std::string message_;
};

// The code that callers of a system call expect for `error_number`: ENOENT is kNotFound, EEXIST
// kAlreadyExists, EACCES and EPERM kPermissionDenied, EINVAL and ENAMETOOLONG kInvalidArgument,
// ENOSPC, EMFILE, ENOMEM and the like kResourceExhausted, ETIMEDOUT kDeadlineExceeded, connection
// errors kUnavailable, ENOSYS and EOPNOTSUPP kUnimplemented; kInternal for all others.
Code CodeFromErrno(int error_number);

}  // namespace kata
