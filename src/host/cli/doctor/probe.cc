// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "sys/fd.h"

namespace kata::cli::doctor {
namespace {

using ProbeClock = std::chrono::steady_clock;

constexpr long kMostMillis = 10000;
constexpr long kMostPackets = 1000;
constexpr long kMostMib = 64;
constexpr size_t kMib = 1 << 20;
constexpr int kAnswerMillis = 1000;

double SecondsSince(ProbeClock::time_point begin) {
  return std::chrono::duration<double>(ProbeClock::now() - begin).count();
}

// Bounded, so that a word that is none cannot make it run for ever.
long NumberIn(std::string_view word, long most) {
  long number = 0;
  std::from_chars(word.data(), word.data() + word.size(), number);
  return std::clamp(number, 1L, most);
}

int ProbeProcessor(long millis) {
  constexpr int kRounds = 100000;
  const auto begin = ProbeClock::now();
  const auto end = begin + std::chrono::milliseconds(millis);
  uint64_t value = 88172645463325252ULL;
  double rounds = 0;
  do {
    // Numbers that depend on each other: no compiler and no processor can leave one out.
    for (int i = 0; i < kRounds; ++i) {
      value ^= value << 13;
      value ^= value >> 7;
      value ^= value << 17;
    }
    rounds += kRounds;
  } while (ProbeClock::now() < end);
  const double seconds = SecondsSince(begin);
  std::printf("rounds_per_second=%.0f\nwitness=%u\n", rounds / seconds,
              static_cast<unsigned>(value & 0xff));
  return 0;
}

int ProbeNetwork(const char* address, long port, long packets) {
  const sys::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in peer{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  if (::inet_pton(AF_INET, address, &peer.sin_addr) != 1) {
    std::fprintf(stderr, "%s: no IPv4 address\n", address);
    return 1;
  }
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0) {
    std::perror("connect");
    return 1;
  }
  std::vector<double> micros;
  long sent = 0;
  for (long n = 0; n < packets; ++n) {
    const auto begin = ProbeClock::now();
    uint32_t number = static_cast<uint32_t>(n);
    if (::send(fd.get(), &number, sizeof number, 0) == sizeof number) ++sent;
    pollfd waits{.fd = fd.get(), .events = POLLIN, .revents = 0};
    // An answer that came too late belongs to an earlier question.
    while (::poll(&waits, 1, kAnswerMillis) == 1) {
      uint32_t answer = 0;
      if (::recv(fd.get(), &answer, sizeof answer, MSG_DONTWAIT) != sizeof answer) break;
      if (answer != number) continue;
      micros.push_back(SecondsSince(begin) * 1e6);
      break;
    }
    // Nothing passes: the rest of the packets would take a second each.
    if (n >= 4 && micros.empty()) break;
  }
  std::sort(micros.begin(), micros.end());
  std::printf("sent=%ld\nreceived=%zu\nmedian_us=%.0f\n", sent, micros.size(),
              micros.empty() ? 0 : micros[micros.size() / 2]);
  return 0;
}

int ProbeFiles(const char* path, long mib) {
  const std::vector<char> block(kMib, 'k');
  sys::UniqueFd fd(::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) {
    std::perror(path);
    return 1;
  }
  auto begin = ProbeClock::now();
  for (long n = 0; n < mib; ++n) {
    if (::write(fd.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      std::perror(path);
      return 1;
    }
  }
  if (::fsync(fd.get()) != 0) std::perror("fsync");
  const double write_seconds = SecondsSince(begin);
  // What the guest still has in its memory would be read from there.
  (void)::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  std::vector<char> read(kMib);
  begin = ProbeClock::now();
  for (long n = 0; n < mib; ++n) {
    if (::pread(fd.get(), read.data(), read.size(), static_cast<off_t>(n) << 20) <= 0) return 1;
  }
  const double read_seconds = SecondsSince(begin);
  std::printf("write_mib_per_second=%.1f\nread_mib_per_second=%.1f\n",
              static_cast<double>(mib) / write_seconds, static_cast<double>(mib) / read_seconds);
  return 0;
}

int ProbeUsage() {
  std::fputs("--probe wait | hello | processor MILLIS | network ADDRESS PORT N | files PATH MIB\n",
             stderr);
  return 2;
}

}  // namespace

int RunProbe(std::span<char* const> line) {
  const std::string_view what = line.size() > 2 ? line[2] : "";
  const auto word = [&](size_t i) { return i < line.size() ? line[i] : ""; };
  if (what == "hello") {
    std::puts("hello=1");
    return 0;
  }
  if (what == "wait") {
    for (;;) ::pause();
  }
  if (what == "processor") return ProbeProcessor(NumberIn(word(3), kMostMillis));
  if (what == "network") {
    return ProbeNetwork(word(3), NumberIn(word(4), UINT16_MAX), NumberIn(word(5), kMostPackets));
  }
  if (what == "files") return ProbeFiles(word(3), NumberIn(word(4), kMostMib));
  return ProbeUsage();
}

std::map<std::string, double> ParseProbe(std::string_view text) {
  std::map<std::string, double> numbers;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view entry = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view digits = entry.substr(equals + 1);
    double number = 0;
    const auto [rest, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool whole = error == std::errc() && rest == digits.data() + digits.size();
    // Neither infinite nor less than nothing.
    if (whole && number >= 0 && number < 1e18)
      numbers[std::string(entry.substr(0, equals))] = number;
  }
  return numbers;
}

}  // namespace kata::cli::doctor
