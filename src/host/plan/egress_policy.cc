// SPDX-License-Identifier: Apache-2.0
#include "host/plan/egress_policy.h"

#include <utility>

#include <netinet/in.h>

namespace kata::sandbox {

Result<egress::Policy> EgressPolicyOf(const config::RuntimeConfig& config) {
  egress::Policy policy;
  for (const auto& [allow, deny] : {std::pair(&config.egress_allow, &config.egress_deny),
                                    std::pair(&config.pod_egress_allow, &config.pod_egress_deny)}) {
    auto rules = KATA_TRY_WITHIN("egress policy", egress::ParseRules(*allow, *deny));
    if (!rules.empty()) policy.push_back(std::move(rules));
  }
  return policy;
}

bool AllowsDockersNames(const egress::Policy& policy) {
  constexpr uint16_t kDnsPort = 53;
  return egress::Allows(policy, IPPROTO_UDP, *sys::IpAddress::Parse("127.0.0.11"), kDnsPort);
}

}  // namespace kata::sandbox
