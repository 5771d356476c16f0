// SPDX-License-Identifier: Apache-2.0
//
// The stand-in's own side. Small in memory: no threads, no messages, no JSON.
#include "host/cli/oci/stand_in.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdint>
#include <utility>

#include "host/stdio/stand_in_channel.h"
#include "sys/sockets.h"

namespace kata::cli::oci {
namespace {

using stdio::StandInMessage;

// The linker's: where the program's code begins and ends.
extern "C" char __executable_start;
extern "C" char etext;

constexpr int kListenFd = 3;
constexpr int kGoFd = 4;
constexpr int kProcFd = 5;  // open if there is one
constexpr size_t kMaxHandedOver = 5;

sigset_t ForwardedSignals() {
  sigset_t set;
  ::sigfillset(&set);
  // Faults of this process itself, and the job control of its terminal.
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPIPE,
                           SIGCHLD, SIGTTOU, SIGTTIN, SIGTSTP}) {
    ::sigdelset(&set, signal);
  }
  return set;
}

bool SendMessage(int channel, const StandInMessage& message) {
  return sys::RetryOnEintr([&] {
           return ::send(channel, &message, sizeof message, MSG_NOSIGNAL);
         }) == static_cast<ssize_t>(sizeof message);
}

void SendSize(int channel, int terminal) {
  winsize size{};
  if (terminal < 0 || ::ioctl(terminal, TIOCGWINSZ, &size) != 0) return;
  if (size.ws_row == 0 || size.ws_col == 0) return;
  SendMessage(channel,
              {.kind = StandInMessage::kResize, .first = size.ws_row, .second = size.ws_col});
}

void ForwardSignal(int signals, int channel, int terminal) {
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
  if (info.ssi_signo == SIGWINCH) return SendSize(channel, terminal);
  SendMessage(channel,
              {.kind = StandInMessage::kSignal, .first = static_cast<uint16_t>(info.ssi_signo)});
}

// Removes the container whose creator has died.
[[noreturn]] void GiveUp(const char* runtime, const char* root, const char* id, bool is_exec) {
  if (is_exec) ::_exit(kLostStatus);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const char* const words[] = {"kata-runtime", "--root", root, "delete", "--force", id, nullptr};
  ::execv(runtime, const_cast<char* const*>(words));
  ::_exit(kLostStatus);
}

// The descriptors that the shim has by now must not stay open here: their other ends would never
// see the end.
void LeaveStreams(bool keep_terminal) {
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = keep_terminal ? 1 : 0; fd <= 2; ++fd) ::dup2(null, fd);
  if (null > 2) ::close(null);
}

// Without success where the creator has no right to it, whose networks then are not to be had
// either.
void JoinNetworkOf(pid_t process, int proc) {
  if (process <= 0) return;
  char path[32];
  ::snprintf(path, sizeof path, "%d/ns/net", static_cast<int>(process));
  const int network = ::openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (network < 0) return;
  (void)::setns(network, CLONE_NEWNET);
  ::close(network);
}

// From here on a few pages of code are enough: the kernel maps those again as they are used.
void ForgetCode() {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(&__executable_start) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(&etext) & ~(page - 1);
  (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

void BlockForwardedSignals() {
  const sigset_t set = ForwardedSignals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Result<sys::UniqueFd> HandOver(int listener, std::span<const int> streams, int cancel) {
  pollfd ready[2] = {{listener, POLLIN, 0}, {cancel, POLLIN, 0}};
  if (sys::RetryOnEintr([&] { return ::poll(ready, 2, -1); }) < 0) return FailErrno("poll");
  if ((ready[0].revents & POLLIN) == 0) return Fail(Code::kCancelled, "the shim did not come");
  sys::UniqueFd channel = KATA_TRY(sys::Accept(listener));
  const sys::PeerCredentials peer = KATA_TRY(sys::GetPeerCredentials(channel.get()));
  if (peer.uid != ::geteuid()) {
    return Fail(Code::kPermissionDenied, "a stranger connected instead of the shim");
  }
  if (streams.size() > kMaxHandedOver) return Fail(Code::kInternal, "too many descriptors");
  auto count = static_cast<uint8_t>(streams.size());
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxHandedOver)] = {};
  iovec part{.iov_base = &count, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(sizeof(int) * streams.size());
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * streams.size());
  ::memcpy(CMSG_DATA(header), streams.data(), sizeof(int) * streams.size());
  if (sys::RetryOnEintr([&] { return ::sendmsg(channel.get(), &message, MSG_NOSIGNAL); }) != 1) {
    return FailErrno("sendmsg");
  }
  return channel;
}

int Attend(sys::UniqueFd channel, int terminal) {
  const sigset_t set = ForwardedSignals();
  const sys::UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  SendSize(channel.get(), terminal);
  for (;;) {
    pollfd ready[2] = {{channel.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return kLostStatus;
    }
    if (ready[0].revents != 0) {
      StandInMessage message;
      const ssize_t n = ::recv(channel.get(), &message, sizeof message, 0);
      if (n < 0 && errno == EINTR) continue;
      const bool told =
          n == static_cast<ssize_t>(sizeof message) && message.kind == StandInMessage::kExit;
      return told ? message.first & 0xff : kLostStatus;
    }
    if (ready[1].revents != 0) ForwardSignal(signals.get(), channel.get(), terminal);
  }
}

int RunStandIn(std::span<char* const> line) {
  // --stand-in ROOT ID init|exec pipes|terminal|own-terminal RUNTIME
  if (line.size() != 7) return kLostStatus;
  const bool is_exec = std::string_view(line[4]) == "exec";
  const bool own_terminal = std::string_view(line[5]) == "own-terminal";
  const bool terminal = own_terminal || std::string_view(line[5]) == "terminal";
  BlockForwardedSignals();
  ::prctl(PR_SET_NAME, "kata-stand-in");
  if (own_terminal) ::ioctl(0, TIOCSCTTY, 0);
  int handed[kMaxHandedOver] = {0, 1, 2};
  size_t count = terminal ? 2 : 3;
  const bool has_proc = ::fcntl(kProcFd, F_GETFD) >= 0;
  // Now: the creator may change what this process sees at /proc.
  sys::UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!is_exec) {
    // Its creator shows the container's files there (root_view.h), and fails if this did.
    (void)::unshare(CLONE_NEWNS);
    const int own = ::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (own < 0) return kLostStatus;
    handed[count++] = own;
    if (has_proc) handed[count++] = kProcFd;
  }
  auto connection = HandOver(kListenFd, std::span(handed, count), kGoFd);
  ::close(kListenFd);
  for (const int fd : std::span(handed, count)) {
    if (fd > kGoFd) ::close(fd);
  }
  if (!connection) GiveUp(line[6], line[2], line[3], is_exec);
  LeaveStreams(terminal);

  // The creator's word, or its end.
  sys::UniqueFd go(kGoFd);
  pollfd ready[2] = {{go.get(), POLLIN, 0}, {connection->get(), POLLIN, 0}};
  (void)sys::RetryOnEintr([&] { return ::poll(ready, 2, -1); });
  char word[kGoBytes] = {};
  if (ready[0].revents != 0) {
    if (sys::RetryOnEintr([&] { return ::read(go.get(), word, sizeof word); }) != sizeof word) {
      GiveUp(line[6], line[2], line[3], is_exec);
    }
    word[sizeof word - 1] = 0;
    JoinNetworkOf(::atoi(word), proc.get());
  }
  proc.Reset();
  go.Reset();
  ForgetCode();
  return Attend(*std::move(connection), terminal ? 0 : -1);
}

}  // namespace kata::cli::oci
