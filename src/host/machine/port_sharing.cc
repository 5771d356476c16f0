// SPDX-License-Identifier: Apache-2.0
#include "host/machine/port_sharing.h"

#include <future>
#include <utility>

#include "base/log.h"

namespace kata::sandbox {

std::shared_ptr<PortSharing> PortSharing::Start(network::Translator& translator,
                                                agent::AgentClient& agent, sys::EventLoop& loop) {
  std::shared_ptr<PortSharing> sharing(new PortSharing(translator, agent, loop));
  // On the translator's thread; the agent is asked on the loop's.
  translator.FollowServices(
      [weak = std::weak_ptr(sharing), &loop](std::vector<sys::ReachedListener> services) {
        loop.Post([weak, services = std::move(services)] {
          const auto self = weak.lock();
          if (self && !self->stopped_) self->agent_.KeepListenersAsync(services);
        });
      });
  loop.Post([sharing] {
    if (!sharing->stopped_) sharing->FetchNext({});
  });
  return sharing;
}

void PortSharing::Stop() {
  std::promise<void> done;
  loop_.Post([&] {
    stopped_ = true;
    done.set_value();
  });
  done.get_future().wait();
}

void PortSharing::FetchNext(const std::vector<sys::ReachedListener>& known) {
  agent_.NextListeners(
      known, [weak = weak_from_this()](const Result<std::vector<sys::ReachedListener>>& now) {
        const auto self = weak.lock();
        if (!self || self->stopped_) return;
        if (!now) {
          // Also when the machine has ended, of which others tell.
          if (now.error().code() == Code::kUnimplemented) {
            log::Warn("ports of the guest are not the host's", {{"error", now.error().message()}});
          }
          return;
        }
        self->translator_.ShowListeners(*now);
        self->FetchNext(*now);
      });
}

}  // namespace kata::sandbox
