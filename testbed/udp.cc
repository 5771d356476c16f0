// SPDX-License-Identifier: Apache-2.0
//
// udp answer PORT...         gives every datagram back with "you said " in front
// udp ask ADDRESS PORT TEXT  says TEXT until an answer comes, for a minute, and prints it
//
// Busybox has no words for UDP. Static, so that it runs in any container that it is mounted into.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>

namespace {

constexpr int kTries = 120, kTryMilliseconds = 500;

// Every address is an IPv6 one here: those of IPv4 are mapped.
sockaddr_in6 Address(const std::string& text, int port) {
  sockaddr_in6 address{.sin6_family = AF_INET6, .sin6_port = htons(port)};
  const std::string mapped = text.find(':') == std::string::npos ? "::ffff:" + text : text;
  if (inet_pton(AF_INET6, mapped.c_str(), &address.sin6_addr) != 1) std::exit(2);
  return address;
}

int Answer(int count, char** ports) {
  std::vector<pollfd> sockets;
  for (int i = 0; i < count; ++i) {
    const sockaddr_in6 own = Address("::", std::atoi(ports[i]));
    const int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
      std::perror(ports[i]);
      return 1;
    }
    sockets.push_back({.fd = fd, .events = POLLIN});
  }
  std::puts("ready");
  std::fflush(stdout);
  while (poll(sockets.data(), sockets.size(), -1) > 0) {
    for (const pollfd& socket : sockets) {
      if (socket.revents == 0) continue;
      char data[2048] = "you said ";
      const size_t head = std::strlen(data);
      sockaddr_in6 peer;
      socklen_t size = sizeof peer;
      const ssize_t got = recvfrom(socket.fd, data + head, sizeof data - head, 0,
                                   reinterpret_cast<sockaddr*>(&peer), &size);
      if (got >= 0) {
        sendto(socket.fd, data, head + got, 0, reinterpret_cast<const sockaddr*>(&peer), size);
      }
    }
  }
  return 1;
}

int Ask(const char* host, const char* port, const char* text) {
  const sockaddr_in6 peer = Address(host, std::atoi(port));
  const int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0) {
    std::perror(host);
    return 1;
  }
  for (int i = 0; i < kTries; ++i) {
    // Nobody may listen yet: that is an error of the next call, and one more try.
    if (send(fd, text, std::strlen(text), 0) < 0) {
      usleep(kTryMilliseconds * 1000);
      continue;
    }
    pollfd waiting{.fd = fd, .events = POLLIN};
    poll(&waiting, 1, kTryMilliseconds);
    char data[2048];
    const ssize_t got = recv(fd, data, sizeof data, MSG_DONTWAIT);
    if (got >= 0) {
      std::printf("%.*s\n", static_cast<int>(got), data);
      return 0;
    }
    if ((waiting.revents & POLLERR) != 0) usleep(kTryMilliseconds * 1000);
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string word = argc > 1 ? argv[1] : "";
  if (word == "answer" && argc > 2) return Answer(argc - 2, argv + 2);
  if (word == "ask" && argc == 5) return Ask(argv[2], argv[3], argv[4]);
  std::fputs("usage: udp answer PORT... | udp ask ADDRESS PORT TEXT\n", stderr);
  return 2;
}
