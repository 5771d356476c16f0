// SPDX-License-Identifier: Apache-2.0
//
// recvtty --pid-file FILE [--mode null|single] [--no-stdin] SOCKET - takes terminals from a console
// socket: the part of runc's recvtty that its test suite uses, so that no Go compiler is needed.
// What they print is thrown away; with --mode single it is printed, and the first terminal is the
// last. The suite does not wait for the socket, so this has to be quick.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

int Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -1;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -1;
  return ::listen(fd, 16) == 0 ? fd : -1;
}

// The terminal that the next one to connect sends, or -1.
int Take(int listener) {
  const int connection = ::accept(listener, nullptr, nullptr);
  char name[4096];
  iovec part{name, sizeof name};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  int terminal = -1;
  if (::recvmsg(connection, &message, 0) > 0 && CMSG_FIRSTHDR(&message) != nullptr) {
    std::memcpy(&terminal, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof terminal);
  }
  ::close(connection);
  return terminal;
}

}  // namespace

int main(int argc, char** argv) {
  std::string pid_file;
  std::string path;
  bool single = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--pid-file" && i + 1 < argc) {
      pid_file = argv[++i];
    } else if (word == "--mode" && i + 1 < argc) {
      single = std::string(argv[++i]) == "single";
    } else if (word != "--no-stdin") {
      path = word;
    }
  }
  const int listener = Listen(path);
  if (listener < 0) {
    std::perror(path.c_str());
    return 1;
  }
  if (FILE* const file = std::fopen(pid_file.c_str(), "w")) {
    std::fprintf(file, "%d", ::getpid());
    std::fclose(file);
  }
  std::vector<pollfd> waiting = {{listener, POLLIN, 0}};
  for (;;) {
    ::poll(waiting.data(), waiting.size(), -1);
    for (size_t i = waiting.size(); i-- > 1;) {
      if (waiting[i].revents == 0) continue;
      char data[65536];
      const ssize_t size = ::read(waiting[i].fd, data, sizeof data);
      if (size > 0 && single && ::write(STDOUT_FILENO, data, static_cast<size_t>(size)) < 0)
        return 1;
      if (size > 0) continue;
      if (single) return 0;
      ::close(waiting[i].fd);
      waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(i));
    }
    if (waiting[0].revents == 0) continue;
    const int terminal = Take(listener);
    if (terminal >= 0) waiting.push_back({terminal, POLLIN, 0});
  }
}
