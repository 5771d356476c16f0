// SPDX-License-Identifier: Apache-2.0
//
// host/machine/port_sharing.h - tells a guest and the translator of its network of each other's
// ports.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/network/translator.h"
#include "sys/event_loop.h"
#include "sys/loopback_stand_ins.h"

namespace kata::sandbox {

class PortSharing : public std::enable_shared_from_this<PortSharing> {
 public:
  // `translator`, `agent` and `loop` outlive Stop().
  static std::shared_ptr<PortSharing> Start(network::Translator& translator,
                                            agent::AgentClient& agent, sys::EventLoop& loop);
  // From another thread than the loop's; nothing of it runs afterwards.
  void Stop();

 private:
  PortSharing(network::Translator& translator, agent::AgentClient& agent, sys::EventLoop& loop)
      : translator_(translator), agent_(agent), loop_(loop) {}
  void FetchNext(const std::vector<sys::ReachedListener>& known);

  network::Translator& translator_;
  agent::AgentClient& agent_;
  sys::EventLoop& loop_;
  bool stopped_ = false;  // the loop's
};

}  // namespace kata::sandbox
