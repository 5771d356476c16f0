// SPDX-License-Identifier: Apache-2.0
#include "host/record/network_report.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "sys/netns.h"

namespace kata::sandbox {
namespace {

// The one in which the VMM lives, with the taps.
Result<sys::UniqueFd> OpenNamespaceOfVmm(const SandboxRecord& record) {
  for (const ProcessEntry& process : record.processes) {
    if (process.role == ProcessRole::kVmm && IsAlive(process)) {
      return sys::OpenNetworkNamespace(fmt::format("/proc/{}/ns/net", process.pid));
    }
  }
  return Fail(Code::kUnavailable, "the sandbox has ended");
}

// By its path, or else that of the VMM.
Result<sys::UniqueFd> OpenNamespaceOf(const NetworkEntry& entry, const SandboxRecord& record) {
  if (entry.namespace_path.empty()) return OpenNamespaceOfVmm(record);
  return sys::OpenNetworkNamespace(entry.namespace_path);
}

// What was denied at the tap.
Result<std::optional<network::EgressCounts>> CountDenied(const network::Connection& connection) {
  sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
  const sys::Link tap = KATA_TRY(sys::FindLink(socket, connection.tap));
  return network::CountEgress(socket, tap.index, connection.model);
}

struct Found {
  std::vector<sys::Link> links;
  std::vector<sys::LinkAddress> addresses;
};

Result<Found> LookInside() {
  sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
  auto links = KATA_TRY(sys::ListLinks(socket));
  return Found{std::move(links), KATA_TRY(sys::ListAddresses(socket))};
}

}  // namespace

Result<std::vector<EndpointReport>> ReportNetwork(const SandboxRecord& record) {
  std::vector<EndpointReport> endpoints;
  for (const NetworkEntry& entry : record.networks) {
    const sys::UniqueFd ns = KATA_TRY(OpenNamespaceOf(entry, record));
    const Found found = KATA_TRY(sys::RunInNetns(ns.get(), &LookInside));
    const auto link = std::ranges::find(found.links, entry.connection.link, &sys::Link::index);
    if (link == found.links.end()) continue;  // it has just gone
    EndpointReport endpoint{.connection = entry.connection, .link = *link, .addresses = {}};
    if (const auto of_vmm = OpenNamespaceOfVmm(record)) {
      auto denied = sys::RunInNetns(of_vmm->get(), [&] { return CountDenied(entry.connection); });
      if (denied) endpoint.denied = *denied;
    }
    for (const sys::LinkAddress& address : found.addresses) {
      if (address.link == link->index) endpoint.addresses.push_back(address.prefix.Text());
    }
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

}  // namespace kata::sandbox
