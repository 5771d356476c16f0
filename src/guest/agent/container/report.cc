// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/report.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "guest/agent/container/container.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxMessage = 4000;
constexpr size_t kFailureHeader = 2 + sizeof(int);

// Room for one descriptor, aligned as the kernel wants it.
union DescriptorSpace {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

ProcessReport Failed(Error error) {
  ProcessReport report;
  report.kind = ProcessReport::Kind::kFailed;
  report.error = std::move(error);
  return report;
}

ProcessReport ParseRecord(const char* data, size_t size, sys::UniqueFd terminal) {
  if (data[0] == 'R' && size == 1) {
    ProcessReport report;
    report.kind = ProcessReport::Kind::kReady;
    report.terminal = std::move(terminal);
    return report;
  }
  if (data[0] != 'E' || size < kFailureHeader) {
    return Failed(Error(Code::kInternal, "the child's report is not understood"));
  }
  int error_number = 0;
  std::memcpy(&error_number, data + 2, sizeof error_number);
  std::string message(data + kFailureHeader, size - kFailureHeader);
  const Code code = static_cast<Code>(data[1]);
  if (error_number == 0) return Failed(Error(code, std::move(message)));
  return Failed(Error::FromErrnoWorded(error_number, std::move(message)).WithCode(code));
}

}  // namespace

Result<ReportPair> MakeReportPair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return FailErrno("socketpair");
  }
  ReportPair pair{sys::UniqueFd(ends[0]), sys::UniqueFd(ends[1])};
  KATA_TRY(sys::SetNonBlocking(pair.agent.get()));
  return pair;
}

Result<void> ReportReady(int report_fd, int terminal) {
  char kind = 'R';
  // The simplest call: a container's filter may be in force already.
  if (terminal < 0) {
    if (sys::RetryOnEintr([&] { return ::write(report_fd, &kind, 1); }) < 0) {
      return FailErrno("report");
    }
    return {};
  }
  iovec part{.iov_base = &kind, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  DescriptorSpace space{};
  message.msg_control = space.bytes;
  message.msg_controllen = sizeof space.bytes;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof terminal);
  std::memcpy(CMSG_DATA(header), &terminal, sizeof terminal);
  if (sys::RetryOnEintr([&] { return ::sendmsg(report_fd, &message, MSG_NOSIGNAL); }) < 0) {
    return FailErrno("report");
  }
  return {};
}

void ReportFailure(int report_fd, const Error& error) {
  char record[kFailureHeader + kMaxMessage];
  const int error_number = error.error_number();
  const size_t length = std::min(error.message().size(), kMaxMessage);
  record[0] = 'E';
  record[1] = static_cast<char>(error.code());
  std::memcpy(record + 2, &error_number, sizeof error_number);
  std::memcpy(record + kFailureHeader, error.message().data(), length);
  (void)sys::RetryOnEintr(
      [&] { return ::send(report_fd, record, kFailureHeader + length, MSG_NOSIGNAL); });
}

ProcessReport ReadReport(int report_fd) {
  char data[kFailureHeader + kMaxMessage];
  iovec part{.iov_base = data, .iov_len = sizeof data};
  DescriptorSpace space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.bytes;
  message.msg_controllen = sizeof space.bytes;
  const ssize_t size =
      sys::RetryOnEintr([&] { return ::recvmsg(report_fd, &message, MSG_CMSG_CLOEXEC); });
  if (size < 0) {
    if (errno == EAGAIN) return {};
    return Failed(Error::FromErrno("read the child's report"));
  }
  if (size == 0) {
    ProcessReport report;
    report.kind = ProcessReport::Kind::kRunning;
    return report;
  }
  sys::UniqueFd terminal;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    terminal.Reset(fd);
  }
  return ParseRecord(data, static_cast<size_t>(size), std::move(terminal));
}

}  // namespace kata::guest
