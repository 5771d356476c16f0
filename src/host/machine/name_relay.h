// SPDX-License-Identifier: Apache-2.0
//
// host/machine/name_relay.h - answers the guest's questions to Docker's name server.
//
// That server listens on the loopback of the network namespace, where the guest's questions do not
// get to. They come over the agent's channel and are asked here, from inside of the namespace.
// What the guest sends reaches nothing but that server.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/agent/agent_client.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::sandbox {

class NameRelay : public std::enable_shared_from_this<NameRelay> {
 public:
  // The address that Docker gives to its name server.
  static constexpr const char* kServer = "127.0.0.11";

  // Whether such a server listens in the network namespace.
  static bool ServerIsIn(int ns);

  // Begins to relay. `agent` and `loop` outlive Stop().
  // Errors  kUnimplemented  the guest's agent is not ours
  static Result<std::shared_ptr<NameRelay>> Start(int ns, agent::AgentClient& agent,
                                                  sys::EventLoop& loop);
  // From another thread than the loop's; nothing of it runs afterwards.
  void Stop();

 private:
  // Where the answer to a question belongs.
  struct Asked {
    uint64_t id = 0;             // the agent's number
    std::array<char, 2> name{};  // the asker's own number in the message
  };

  NameRelay(sys::UniqueFd socket, agent::AgentClient& agent, sys::EventLoop& loop)
      : socket_(std::move(socket)), agent_(agent), loop_(loop), asked_(kNumbers) {}
  void FetchNext();
  void Ask(const guest::DnsMessage& question);
  void OnAnswers();

  static constexpr size_t kNumbers = 1 << 10;

  const sys::UniqueFd socket_;  // connected to the server
  agent::AgentClient& agent_;
  sys::EventLoop& loop_;
  // All of the loop's. A question is known to the server by its place here, and the oldest give
  // way.
  std::vector<std::optional<Asked>> asked_;
  uint16_t next_ = 0;
  bool stopped_ = false;
};

}  // namespace kata::sandbox
