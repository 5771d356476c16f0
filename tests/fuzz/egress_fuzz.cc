// SPDX-License-Identifier: Apache-2.0
//
// What people write as egress policies, a rule a line. Whatever parses becomes a program.
#include <linux/bpf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "egress/policy.h"
#include "fuzz_support.h"
#include "host/network/egress_program.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kata::fuzz::Check;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> lists[2];
  for (size_t line = 0; !rest.empty(); ++line) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string text(rest.substr(0, end));
    if (const auto rule = kata::egress::ParseRule(text)) {
      Check(rule->network || rule->protocol);
      Check(!rule->ports || (rule->protocol && rule->ports->low <= rule->ports->high));
      lists[line % 2].push_back(text);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const auto rules = kata::egress::ParseRules(lists[0], lists[1]);
  Check(rules.has_value() == (lists[0].size() + lists[1].size() <= kata::egress::kMostRules));
  if (!rules) return 0;
  const auto program = kata::network::JudgeEgress({*rules, *rules}, {.stand_ins = true}, {});
  Check(program && !program->empty() && program->back().code == (BPF_JMP | BPF_EXIT));
  return 0;
}
