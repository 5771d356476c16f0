// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/terminal.h - terminals of container processes on the host's side.
//
// The guest's terminal edits lines and echoes; what is on the host passes bytes on, so both the
// pseudo terminal for a console socket and the terminal of the caller are in raw mode.
#pragma once

#include <termios.h>

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace kata::cli::oci {

// Whether the terminal, the console socket and the way of starting go together.
// Errors  kInvalidArgument
Result<void> CheckTerminal(bool terminal, bool detach, const std::string& console_socket);

// Makes a pseudo terminal in raw mode, `rows` by `columns` (0: not said), sends its master over the
// unix socket at `console_socket`, and returns the other end.
Result<sys::UniqueFd> OpenConsole(const std::string& console_socket, uint32_t rows,
                                  uint32_t columns);

// Keeps the caller's terminal in raw mode while it lives. Does nothing without a terminal.
class RawMode {
 public:
  explicit RawMode(int fd);
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode();

 private:
  int fd_;
  bool changed_ = false;
  termios before_{};
};

}  // namespace kata::cli::oci
