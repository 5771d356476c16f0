// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/console_log.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace kata::hypervisor {
namespace {

// One line as a log or an error message may carry it.
std::string Sanitise(std::string_view line) {
  std::string clean;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\x1b') {
      // Control sequence: ESC [ parameters final. Anything else after ESC is one byte.
      if (i + 1 < line.size() && line[i + 1] == '[') {
        i += 2;
        while (i < line.size() && (line[i] < '@' || line[i] > '~')) ++i;
      } else {
        ++i;
      }
    } else if (c == '\t') {
      clean += ' ';
    } else if (c >= ' ' && c <= '~') {
      clean += c;
    } else if (c != '\r') {
      clean += '?';
    }
  }
  while (!clean.empty() && clean.back() == ' ') clean.pop_back();
  return clean;
}

}  // namespace

void ConsoleLog::Append(std::string_view bytes) {
  const MutexLock lock(mutex_);
  total_ += bytes.size();
  if (bytes.size() > capacity_) bytes.remove_prefix(bytes.size() - capacity_);
  while (!bytes.empty()) {
    if (ring_.size() < capacity_) {
      const size_t n = std::min(bytes.size(), capacity_ - ring_.size());
      ring_.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
    } else {
      const size_t n = std::min(bytes.size(), capacity_ - next_);
      std::copy_n(bytes.data(), n, ring_.begin() + static_cast<ptrdiff_t>(next_));
      next_ = (next_ + n) % capacity_;
      bytes.remove_prefix(n);
    }
  }
}

std::string ConsoleLog::Snapshot() const {
  const MutexLock lock(mutex_);
  std::string text = ring_.substr(next_) + ring_.substr(0, next_);
  if (total_ > capacity_) text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
  return text;
}

std::string ConsoleLog::Tail(size_t lines, size_t max_bytes) const {
  const std::string text = Snapshot();
  std::vector<std::string> kept;
  size_t size = 0;
  size_t end = text.size();
  while (kept.size() < lines) {
    const size_t newline = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
    const size_t begin = newline == std::string::npos ? 0 : newline + 1;
    std::string line = Sanitise(std::string_view(text).substr(begin, end - begin));
    if (!line.empty()) {
      if (size + line.size() + 1 > max_bytes) {
        if (kept.empty()) kept.push_back(line.substr(line.size() - max_bytes));
        break;
      }
      size += line.size() + 1;
      kept.push_back(std::move(line));
    }
    if (newline == std::string::npos) break;
    end = newline;
  }
  std::string joined;
  for (auto line = kept.rbegin(); line != kept.rend(); ++line) {
    if (!joined.empty()) joined += '\n';
    joined += *line;
  }
  return joined;
}

std::string ConsoleLog::FindLast(std::string_view text) const {
  const std::string all = Snapshot();
  const size_t at = all.rfind(text);
  if (at == std::string::npos) return {};
  const size_t newline = all.rfind('\n', at);
  const size_t begin = newline == std::string::npos ? 0 : newline + 1;
  return Sanitise(std::string_view(all).substr(begin, all.find('\n', at) - begin)).substr(0, 1024);
}

size_t ConsoleLog::total_bytes() const {
  const MutexLock lock(mutex_);
  return total_;
}

std::shared_ptr<LogReader> LogReader::Watch(sys::EventLoop& loop, sys::UniqueFd fd,
                                            std::shared_ptr<ConsoleLog> log) {
  (void)sys::SetNonBlocking(fd.get());
  std::shared_ptr<LogReader> reader(new LogReader(loop, std::move(fd), std::move(log)));
  loop.Post([reader] {
    const MutexLock lock(reader->mutex_);
    if (!reader->fd_) return;
    (void)reader->loop_.Add(reader->fd_.get(), EPOLLIN, [reader](uint32_t) {
      bool more = false;
      if (!reader->ReadOnce(&more)) reader->Close();
    });
  });
  return reader;
}

bool LogReader::ReadOnce(bool* more) {
  const MutexLock lock(mutex_);
  *more = false;
  if (!fd_) return false;
  char buffer[16384];
  const int fd = fd_.get();
  const ssize_t n = sys::RetryOnEintr([&] { return ::read(fd, buffer, sizeof buffer); });
  if (n < 0) return errno == EAGAIN;
  if (n == 0) return false;
  log_->Append({buffer, static_cast<size_t>(n)});
  *more = true;
  return true;
}

void LogReader::Drain() {
  bool more = true;
  for (int rounds = 0; more && rounds < 64; ++rounds) {
    if (!ReadOnce(&more)) break;
  }
}

void LogReader::Close() {
  // The descriptor must leave the loop before its number can be used again.
  loop_.Post([self = shared_from_this()] {
    const MutexLock lock(self->mutex_);
    if (!self->fd_) return;
    self->loop_.Remove(self->fd_.get());
    self->fd_.Reset();
  });
}

}  // namespace kata::hypervisor
