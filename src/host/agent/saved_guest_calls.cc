// SPDX-License-Identifier: Apache-2.0
//
// Calls round a save of the guest, and to one that goes on from there.
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "host/agent/agent_client.h"
#include "proto/wellknown.pb.h"

namespace kata::agent {
namespace {

// More than the guest's generator can hold.
constexpr size_t kSeedBytes = 64;
// What an answer takes beyond the guest's own deadline.
constexpr std::chrono::milliseconds kMargin = std::chrono::seconds(5);

}  // namespace

Result<void> AgentClient::Renew(const Renewal& renewal, Deadline deadline) {
  std::string entropy(kSeedBytes, '\0');
  if (::getrandom(entropy.data(), entropy.size(), 0) != static_cast<ssize_t>(entropy.size())) {
    return FailErrno("getrandom");
  }
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  guest::RenewRequest request;
  request.set_entropy(std::move(entropy));
  request.set_seconds(now.tv_sec);
  request.set_nanoseconds(now.tv_nsec);
  request.set_look_for_devices(renewal.look_for_devices);
  request.set_hostname(renewal.hostname);
  request.set_boot_id(renewal.boot_id);
  for (const auto& [old, wanted] : renewal.names) {
    guest::ContainerName& name = *request.add_names();
    name.set_old(old);
    name.set_now(wanted);
  }
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "Renew", request, deadline));
  return {};
}

Result<void> AgentClient::Freeze(Deadline deadline) {
  const std::chrono::milliseconds left(std::max(deadline.PollMillis(), 0));
  guest::FreezeRequest request;
  request.set_timeout_ms(static_cast<uint32_t>(left.count()));
  waiting_->Hold();
  // The guest's own deadline comes first: after that nothing of it is frozen.
  auto frozen = client_->Call<wellknown::Empty>(kGuestService, "Freeze", request,
                                                Deadline::After(left + kMargin));
  if (frozen) return {};
  // One whose answer came too late stands still all the same.
  if (frozen.error().code() == Code::kDeadlineExceeded) {
    const Deadline patience = Deadline::After(kMargin);
    LogIfFailed(Renew({}, patience));
    LogIfFailed(Thaw(patience));
  }
  waiting_->Release();
  return std::unexpected(std::move(frozen).error());
}

Result<void> AgentClient::ShowFiles(const std::string& container_id,
                                    const std::vector<ShownCopy>& files) {
  guest::ShowFilesRequest request;
  request.set_container_id(container_id);
  for (const ShownCopy& shown : files) {
    guest::ShowFilesRequest::File& file = *request.add_files();
    file.set_copy(shown.copy);
    file.set_path(shown.path);
    file.set_read_only(shown.read_only);
  }
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "ShowFiles", request,
                                           Deadline::After(request_timeout_)));
  return {};
}

Result<void> AgentClient::AbortConnections(bool all, Deadline deadline) {
  guest::AbortConnectionsRequest request;
  request.set_all(all);
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "AbortConnections", request, deadline));
  return {};
}

Result<void> AgentClient::Thaw(Deadline deadline) {
  KATA_TRY(client_->Call<wellknown::Empty>(kGuestService, "Thaw", guest::ThawRequest(), deadline));
  waiting_->Release();
  return {};
}

uint32_t AgentClient::next_stream() const {
  // An agent takes a lower number for another client's, too.
  constexpr uint64_t kMany = 1U << 31;
  const uint64_t next = client_->next_stream_id();
  return next < kMany ? static_cast<uint32_t>(next) : 1;
}

}  // namespace kata::agent
