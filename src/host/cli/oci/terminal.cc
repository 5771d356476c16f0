// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <chrono>
#include <csignal>
#include <utility>

#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::cli::oci {
namespace {

constexpr auto kConsolePatience = std::chrono::seconds(10);

Result<void> MakeRaw(int fd) {
  termios mode{};
  if (::tcgetattr(fd, &mode) != 0) return FailErrno("tcgetattr");
  ::cfmakeraw(&mode);
  if (::tcsetattr(fd, TCSANOW, &mode) != 0) return FailErrno("tcsetattr");
  return {};
}

}  // namespace

Result<void> CheckTerminal(bool terminal, bool detach, const std::string& console_socket) {
  if (detach && terminal && console_socket.empty()) {
    return Fail(Code::kInvalidArgument,
                "cannot allocate tty if kata-runtime will detach without setting console socket");
  }
  if ((!detach || !terminal) && !console_socket.empty()) {
    return Fail(Code::kInvalidArgument,
                "cannot use console socket if kata-runtime will not detach or allocate tty");
  }
  return {};
}

Result<sys::UniqueFd> OpenConsole(const std::string& console_socket, uint32_t rows,
                                  uint32_t columns) {
  const Deadline deadline = Deadline::After(kConsolePatience);
  const sys::UniqueFd socket =
      KATA_TRY_WITHIN("console socket", sys::ConnectUnix(console_socket, deadline));
  const sys::UniqueFd master = KATA_TRY(sys::Open("/dev/ptmx", O_RDWR | O_NOCTTY));
  if (::unlockpt(master.get()) != 0) return FailErrno("unlockpt");
  char name[128];
  if (::ptsname_r(master.get(), name, sizeof name) != 0) return FailErrno("ptsname");
  sys::UniqueFd slave = KATA_TRY(sys::Open(name, O_RDWR | O_NOCTTY));
  KATA_TRY_WITHIN(name, MakeRaw(slave.get()));
  if (rows > 0 && columns > 0) {
    const winsize size{.ws_row = static_cast<unsigned short>(rows),
                       .ws_col = static_cast<unsigned short>(columns),
                       .ws_xpixel = 0,
                       .ws_ypixel = 0};
    if (::ioctl(master.get(), TIOCSWINSZ, &size) != 0) return FailErrno("TIOCSWINSZ", name);
  }
  KATA_TRY_WITHIN("console socket",
                  sys::SendWithFd(socket.get(), "/dev/ptmx", master.get(), deadline));
  return slave;
}

RawMode::RawMode(int fd) : fd_(fd) {
  if (::tcgetattr(fd, &before_) != 0) return;
  // A background job that changes its terminal is stopped by SIGTTOU, which a shell expects.
  changed_ = MakeRaw(fd).has_value();
}

RawMode::~RawMode() {
  if (!changed_) return;
  std::signal(SIGTTOU, SIG_IGN);
  (void)::tcsetattr(fd_, TCSADRAIN, &before_);
}

}  // namespace kata::cli::oci
