// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/thrash_watch.h"

#include <signal.h>
#include <sys/time.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/deadline.h"
#include "base/log.h"
#include "guest/agent/cgroup/cgroup_stats.h"
#include "guest/agent/run_in_child.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kBetweenSamples{250};
constexpr milliseconds kBetweenGlances{20};
// The kernel has killed by then, or it finds nobody that it may kill.
constexpr std::chrono::seconds kKillPatience{2};
// Before such a container is looked at again.
constexpr std::chrono::seconds kRest{30};

Result<std::string> ReadLimit(const std::string& cgroup) {
  std::string text = KATA_TRY(sys::ReadFile(cgroup + "/memory.max", 64));
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// Sets the limit and no more: a write to it goes on to take memory back and to kill until the group
// is below, again and again while a victim takes its time to end. A signal ends that; who asks for
// memory next meets the limit and has the kernel choose, as at any limit. In a process of its own.
Result<std::string> SetLimitOnly(const std::string& path, const std::string& value) {
  struct sigaction nothing{};
  nothing.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &nothing, nullptr);
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::sigprocmask(SIG_UNBLOCK, &alarm, nullptr);
  // Again and again: the first may come before the write.
  constexpr timeval kSoon{.tv_sec = 0, .tv_usec = 2000};
  const itimerval timer{.it_interval = kSoon, .it_value = kSoon};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
  KATA_TRY(sys::WriteControl(path, value));
  return "";
}

}  // namespace

struct ThrashWatch::Watched {
  std::string id;
  const Container* container = nullptr;  // none: it has gone
  std::string cgroup;
  ThrashJudge judge;
  uint64_t hits = 0;
  bool looking = false;  // or ending, or resting
};

struct ThrashWatch::Ending {
  std::shared_ptr<Watched> watched;
  MemorySample sample;
  std::string limit;    // that the container had
  std::string lowered;  // that it has meanwhile
  Deadline deadline = Deadline::After(kKillPatience);
  bool written = false;
};

void ThrashWatch::Add(const std::string& id, const Container& container) {
  watched_[id] =
      std::make_shared<Watched>(Watched{.id = id,
                                        .container = &container,
                                        .cgroup = container.cgroup_path(),
                                        .judge = {},
                                        .hits = CountLimitHits(container.cgroup_path())});
}

void ThrashWatch::Remove(const std::string& id) {
  const auto it = watched_.find(id);
  if (it == watched_.end()) return;
  it->second->container = nullptr;
  watched_.erase(it);
}

void ThrashWatch::Notice(const std::string& id) {
  const auto it = watched_.find(id);
  if (it == watched_.end() || it->second->looking) return;
  Watched& watched = *it->second;
  const uint64_t hits = CountLimitHits(watched.cgroup);
  if (hits == std::exchange(watched.hits, hits)) return;
  watched.looking = true;
  watched.judge = {};
  Sample(it->second);
}

void ThrashWatch::Sample(const std::shared_ptr<Watched>& watched) {
  if (watched->container == nullptr) return;
  const auto sample = SampleMemory(watched->cgroup);
  if (!sample) {
    watched->looking = false;
    return;
  }
  switch (watched->judge.Observe(*sample)) {
    case ThrashJudge::Verdict::kCalm:
      watched->hits = sample->limit_hits;
      watched->looking = false;
      return;
    case ThrashJudge::Verdict::kStuck:
      return End(watched, *sample);
    case ThrashJudge::Verdict::kBusy:
      loop_.RunAfter(kBetweenSamples, [this, watched] { Sample(watched); });
  }
}

void ThrashWatch::End(const std::shared_ptr<Watched>& watched, const MemorySample& sample) {
  const auto ending = std::make_shared<Ending>(
      Ending{.watched = watched, .sample = sample, .limit = {}, .lowered = {}});
  const auto begin = [&]() -> Result<void> {
    ending->limit = KATA_TRY(ReadLimit(watched->cgroup));
    const auto pids = KATA_TRY(watched->container->Pids());
    ending->lowered = fmt::to_string(LimitThatKills(sample, BiggestOf(pids, "/proc")));
    return RunInChild(
        loop_,
        [path = watched->cgroup + "/memory.max", value = ending->lowered] {
          return SetLimitOnly(path, value);
        },
        [ending](const Result<std::string>&) { ending->written = true; });
  };
  log::Warn("a container stands still at its memory limit; the kernel is made to kill",
            {{"container", watched->id},
             {"limit", fmt::to_string(sample.limit.value_or(0))},
             {"cache", fmt::to_string(sample.cache)},
             {"refaults", fmt::to_string(sample.refaults)}});
  if (auto begun = begin(); !begun) {
    log::Warn("it cannot be", {{"container", watched->id}, {"error", begun.error().message()}});
    return Rest(watched);
  }
  AwaitEnd(ending);
}

void ThrashWatch::AwaitEnd(const std::shared_ptr<Ending>& ending) {
  Watched& watched = *ending->watched;
  if (watched.container == nullptr) return;
  const uint64_t kills = watched.container->OomKills().value_or(0);
  const bool killed = kills > ending->sample.oom_kills;
  if (killed || ending->deadline.Passed()) {
    // A limit that somebody has set meanwhile stays.
    if (const auto limit = ReadLimit(watched.cgroup); limit && *limit == ending->lowered) {
      LogIfFailed(sys::WriteControl(watched.cgroup + "/memory.max", ending->limit));
    }
    // Only now nobody writes the lower one any more.
    if (ending->written) {
      if (killed) {
        watched.looking = false;
        return;
      }
      log::Warn("the kernel found nobody that it may kill", {{"container", watched.id}});
      return Rest(ending->watched);
    }
  }
  loop_.RunAfter(kBetweenGlances, [this, ending] { AwaitEnd(ending); });
}

void ThrashWatch::Rest(const std::shared_ptr<Watched>& watched) {
  loop_.RunAfter(kRest, [watched] { watched->looking = false; });
}

uint64_t BiggestOf(const std::vector<pid_t>& pids, const std::string& proc) {
  constexpr uint64_t kKib = 1024;
  uint64_t biggest = 0;
  for (const pid_t pid : pids) {
    const std::string text =
        sys::ReadFile(fmt::format("{}/{}/status", proc, pid), 1 << 16).value_or("");
    constexpr std::string_view kKey = "\nRssAnon:";
    const size_t at = text.find(kKey);
    if (at == std::string::npos) continue;
    const size_t number = text.find_first_of("0123456789", at);
    if (number == std::string::npos) continue;
    uint64_t kib = 0;
    std::from_chars(text.data() + number, text.data() + text.size(), kib);
    biggest = std::max(biggest, kib * kKib);
  }
  return biggest;
}

}  // namespace kata::guest
