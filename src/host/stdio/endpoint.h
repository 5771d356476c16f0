// SPDX-License-Identifier: Apache-2.0
//
// host/stdio/endpoint.h - the host's end of a container's standard streams.
//
// containerd names each stream by a string: a path is a fifo that a client made, `file://` a file
// to append to, `binary://` a logging program to start, and nothing means /dev/null.
// Basis: containerd runtime v2 README, "Logging" and "IO".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::stdio {

// A stream as its creator asked for it.
struct Uri {
  enum class Kind { kNone, kFifo, kFile, kBinary };
  Kind kind = Kind::kNone;
  std::string path;
  // kBinary: arguments of the program, `?key=value` as "key" "value", keys in the order given.
  std::vector<std::string> arguments;
};

// Errors  kInvalidArgument  an unknown scheme, a relative path, a broken percent escape
Result<Uri> ParseUri(const std::string& text);

// Where output goes.
struct Output {
  sys::UniqueFd fd;  // invalid: the output is thrown away
  // A fifo that nobody had open for reading. What is in it when the last end is closed is lost, so
  // its writer waits for the reader (OutputPump).
  bool reader_is_late = false;
};
// Opens it, non-blocking: a fifo for reading and writing at once, so that neither a late nor a lost
// reader makes a write fail; it fills up instead, as a container's output should. kNone gives an
// invalid descriptor.
// Errors  kNotFound         no such fifo, or no such directory for the file
//         kInvalidArgument  kBinary, which Logger opens
Result<Output> OpenOutput(const Uri& uri);

// The two ends of a stdin fifo. While `keeper` is open, a client that goes away does not end the
// container's input; CloseIO closes it.
struct Input {
  sys::UniqueFd reader;
  sys::UniqueFd keeper;
};
// Whether anybody can write what the process is to read: not where nothing is named, or /dev/null.
// Errors  kNotFound, kInvalidArgument  not a fifo
Result<bool> HasInput(const std::string& path);
// Errors  as HasInput; kInvalidArgument also where that is false
Result<Input> OpenInput(const std::string& path);

}  // namespace kata::stdio
