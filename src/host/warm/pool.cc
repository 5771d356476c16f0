// SPDX-License-Identifier: Apache-2.0
#include "host/warm/pool.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::warm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kControlFd = 3;
constexpr milliseconds kLongestPause = seconds(60);
constexpr milliseconds kMemoryPause = seconds(5);
constexpr milliseconds kBusyPause{100};
// Room for the command line that the shim will have.
constexpr size_t kArgumentRoom = 2048;

Result<std::string> NewName() {
  uint32_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) return FailErrno("getrandom");
  return fmt::format("warm-{:08x}", number);
}

uint64_t AvailableMemoryMib() {
  const auto text = sys::ReadFile("/proc/meminfo", 64 << 10);
  constexpr std::string_view kName = "MemAvailable:";
  const size_t at = text ? text->find(kName) : std::string::npos;
  if (at == std::string::npos) return UINT64_MAX;
  const size_t begin = text->find_first_not_of(' ', at + kName.size());
  uint64_t kib = 0;
  (void)std::from_chars(text->data() + begin, text->data() + text->size(), kib);
  return kib >> 10;
}

// Whether more threads want to run than there are processors, this one left aside.
bool ProcessorsAreTaken() {
  const auto text = sys::ReadFile("/proc/loadavg", 256);
  const size_t slash = text ? text->find('/') : std::string::npos;
  if (slash == std::string::npos) return false;
  const size_t begin = text->rfind(' ', slash) + 1;
  unsigned running = 0;
  (void)std::from_chars(text->data() + begin, text->data() + slash, running);
  return running > std::thread::hardware_concurrency() + 1;
}

}  // namespace

Pool::Pool(sys::EventLoop& loop, PoolOptions options, std::function<void(const std::string&)> gone)
    : loop_(loop), options_(std::move(options)), gone_(std::move(gone)) {}

Pool::~Pool() {
  for (std::list<Shim>* list : {&shims_, &taken_}) {
    for (Shim& shim : *list) Release(shim);
  }
}

// Closes its control, which ends it, and lets it go: nobody kills it in the middle of its clean-up.
void Pool::Release(Shim& shim) {
  if (shim.control) loop_.Remove(shim.control.get());
  shim.control.Reset();
  loop_.Remove(shim.process.pidfd());
  if (!shim.process.reaped()) (void)shim.process.Detach();
}

size_t Pool::Count(bool ready) const {
  return static_cast<size_t>(std::ranges::count_if(
      shims_, [ready](const Shim& shim) { return shim.control && shim.ready == ready; }));
}

void Pool::FillAfter(milliseconds pause) {
  if (timer_) loop_.Cancel(*timer_);
  timer_ = loop_.RunAfter(pause, [this] {
    timer_.reset();
    Fill();
  });
}

void Pool::Fill() {
  // One at a time: preparing takes a processor.
  if (closed_ || timer_ || Count(false) > 0 || Count(true) >= options_.wanted) return;
  if (AvailableMemoryMib() < options_.spare_memory_mib) return FillAfter(kMemoryPause);
  if (waited_ < options_.leave_to_others && ProcessorsAreTaken()) {
    waited_ += kBusyPause;
    return FillAfter(kBusyPause);
  }
  waited_ = milliseconds(0);
  if (auto begun = Prepare(); !begun) {
    log::Error("cannot start a warm shim", {{"error", begun.error().message()}});
    ++failed_;
    FillAfter(kLongestPause);
  }
}

Result<void> Pool::Prepare() {
  sys::SocketPair pair = KATA_TRY(sys::MakeSocketPair());
  Shim shim{.name = KATA_TRY(NewName())};
  sys::Command command;
  command.executable = options_.program;
  command.argv = {options_.program, "-id", shim.name, "-control-fd", std::to_string(kControlFd)};
  if (!options_.config_path.empty()) {
    command.argv.insert(command.argv.end(), {"-config", options_.config_path});
  }
  command.argv.insert(command.argv.end(), {"-room", std::string(kArgumentRoom, '-'), "warm"});
  command.cwd = "/";
  command.stderr_fd = STDERR_FILENO;
  command.fds = {{pair.theirs.get(), kControlFd}};
  command.new_session = true;
  shim.process = KATA_TRY(sys::ChildProcess::Spawn(command));
  shim.control = std::move(pair.ours);
  const auto place = shims_.insert(shims_.end(), std::move(shim));
  KATA_TRY(loop_.Add(place->control.get(), EPOLLIN, [this, place](uint32_t) { OnControl(place); }));
  return loop_.Add(place->process.pidfd(), EPOLLIN, [this, place](uint32_t) { OnEnd(place); });
}

void Pool::OnControl(Place shim) {
  char word = 0;
  const ssize_t n = sys::RetryOnEintr([&] { return ::read(shim->control.get(), &word, 1); });
  if (n == 1 && word == 'r') {
    shim->ready = true;
    pause_ = milliseconds(0);
    log::Info("a warm machine is ready", {{"name", shim->name}});
    return Fill();
  }
  // It ends; OnEnd hears of that.
  loop_.Remove(shim->control.get());
}

void Pool::OnEnd(Place shim) {
  loop_.Remove(shim->process.pidfd());
  const auto status = shim->process.Wait(Deadline::After(seconds(1)));
  if (shim->taken) {
    taken_.erase(shim);
    return;
  }
  const bool wanted = static_cast<bool>(shim->control);
  if (wanted) {
    loop_.Remove(shim->control.get());
    ++failed_;
    log::Warn("a warm machine has ended",
              {{"name", shim->name}, {"status", status ? status->Describe() : "unknown"}});
  }
  const std::string name = shim->name;
  shims_.erase(shim);
  gone_(name);
  if (!wanted) return Fill();
  pause_ = std::clamp(2 * pause_, options_.first_pause, kLongestPause);
  FillAfter(pause_);
}

bool Pool::Give(int connection) {
  for (auto shim = shims_.begin(); shim != shims_.end(); ++shim) {
    if (!shim->ready || !shim->control) continue;
    const auto sent =
        sys::SendWithFd(shim->control.get(), "c", connection, Deadline::After(seconds(1)));
    if (!sent) continue;
    loop_.Remove(shim->control.get());
    shim->control.Reset();
    shim->taken = true;
    taken_.splice(taken_.end(), shims_, shim);
    ++given_;
    FillAfter(options_.refill_after);
    return true;
  }
  ++missed_;
  return false;
}

void Pool::Drop() {
  for (Shim& shim : shims_) {
    if (!shim.control) continue;
    loop_.Remove(shim.control.get());
    shim.control.Reset();
  }
  Fill();
}

void Pool::Close() {
  closed_ = true;
  Drop();
}

std::string Pool::Status() const {
  return nlohmann::ordered_json{{"config", options_.config_path},
                                {"wanted", options_.wanted},
                                {"ready", Count(true)},
                                {"preparing", Count(false)},
                                {"given", given_},
                                {"missed", missed_},
                                {"failed", failed_}}
             .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

}  // namespace kata::warm
