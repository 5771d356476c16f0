// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "sys/mounts.h"

namespace kata::guest {

Result<Terminal> OpenTerminal(const sys::RootDir& root, const TerminalMode& mode) {
  Terminal terminal;
  terminal.master = KATA_TRY(root.Open("/dev/pts/ptmx", O_RDWR | O_NOCTTY));
  struct statfs status{};
  if (::fstatfs(terminal.master.get(), &status) != 0) return FailErrno("statfs", "/dev/pts/ptmx");
  if (status.f_type != DEVPTS_SUPER_MAGIC) {
    return Fail(Code::kFailedPrecondition,
                "terminal: \"/dev/pts\" is not a devpts; the spec has no such mount");
  }
  const int master = terminal.master.get();
  int unlocked = 0;
  if (::ioctl(master, TIOCSPTLCK, &unlocked) != 0) return FailErrno("unlock the terminal");
  // Not by its name, which could be covered by something else.
  terminal.slave.Reset(::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return FailErrno("open the terminal");
  if (mode.rows != 0 || mode.columns != 0) {
    winsize size{};
    size.ws_row = mode.rows;
    size.ws_col = mode.columns;
    if (::ioctl(master, TIOCSWINSZ, &size) != 0) return FailErrno("set the terminal's size");
  }
  if (mode.bare_line_feeds) {
    termios flags{};
    if (::tcgetattr(master, &flags) != 0) return FailErrno("tcgetattr");
    flags.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
    if (::tcsetattr(master, TCSANOW, &flags) != 0) return FailErrno("tcsetattr");
  }
  return terminal;
}

Result<void> BindConsole(const sys::RootDir& root, const Terminal& terminal) {
  const sys::UniqueFd place = KATA_TRY(root.MakeFile("/dev/console"));
  const sys::UniqueFd copy = KATA_TRY_WITHIN(
      "console", sys::CloneMount(AT_FDCWD, sys::DescriptorPath(terminal.slave.get()), false));
  return sys::AttachMount(copy.get(), place.get());
}

Result<void> TakeTerminal(int fd) {
  if (::ioctl(fd, TIOCSCTTY, 0) != 0) return FailErrno("take the terminal");
  return {};
}

}  // namespace kata::guest
