// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/network_report.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "host/cli/oci/sandbox_lookup.h"

namespace kata::cli::oci {
using nlohmann::ordered_json;

Result<std::vector<EndpointReport>> ReportNetwork(const std::string& id,
                                                  const std::string& records) {
  return sandbox::ReportNetwork(KATA_TRY(FindRecord(id, records)));
}

std::string FormatNetworkTable(const std::vector<EndpointReport>& endpoints) {
  constexpr size_t kColumns = 9;
  std::vector<std::array<std::string, kColumns>> rows = {
      {"INTERFACE", "KIND", "MODEL", "TAP", "MTU", "RECEIVED", "SENT", "DENIED", "ADDRESSES"}};
  for (const EndpointReport& each : endpoints) {
    const sys::LinkCounters& count = each.link.counters;
    rows.push_back({each.link.name, each.link.kind.empty() ? "hardware" : each.link.kind,
                    std::string(network::ModelName(each.connection.model)), each.connection.tap,
                    std::to_string(each.link.mtu),
                    fmt::format("{} in {}", count.rx_bytes, count.rx_packets),
                    fmt::format("{} in {}", count.tx_bytes, count.tx_packets),
                    each.denied ? std::to_string(each.denied->packets) : "-",
                    fmt::format("{}", fmt::join(each.addresses, " "))});
  }
  std::array<size_t, kColumns> widths{};
  for (const auto& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < kColumns; ++i) text += fmt::format("{:<{}}  ", row[i], widths[i]);
    text += row.back() + "\n";
  }
  return text;
}

std::string FormatNetworkJson(const std::vector<EndpointReport>& endpoints) {
  ordered_json array = ordered_json::array();
  for (const EndpointReport& each : endpoints) {
    const sys::LinkCounters& count = each.link.counters;
    ordered_json denied;
    if (each.denied) {
      denied = {{"packets", each.denied->packets}, {"connections", each.denied->connections}};
    }
    array.push_back({{"interface", each.link.name},
                     {"kind", each.link.kind},
                     {"mac", sys::MacText(each.link.mac)},
                     {"mtu", each.link.mtu},
                     {"addresses", each.addresses},
                     {"model", network::ModelName(each.connection.model)},
                     {"tap", each.connection.tap},
                     {"received",
                      {{"bytes", count.rx_bytes},
                       {"packets", count.rx_packets},
                       {"errors", count.rx_errors},
                       {"dropped", count.rx_dropped}}},
                     {"sent",
                      {{"bytes", count.tx_bytes},
                       {"packets", count.tx_packets},
                       {"errors", count.tx_errors},
                       {"dropped", count.tx_dropped}}},
                     {"denied", denied}});
  }
  return array.dump(2) + "\n";
}

}  // namespace kata::cli::oci
