// SPDX-License-Identifier: Apache-2.0
//
// metrics/catalogue.h - every metric that programs of this project offer: name, type, what it says.
//
// docs/metrics.md has the same table, and a test compares the two. Names that Kata Containers has
// are used in its sense; memory is in bytes everywhere.
#pragma once

#include <span>
#include <string_view>

#include "proto/metrics.pb.h"

namespace kata::metrics {

struct Description {
  std::string_view name;
  FamilyType type = UNTYPED;
  std::string_view
      labels;             // beside sandbox_id, which all but kata_monitor's and kata-factory's have
  std::string_view help;  // with the unit
};

// Sorted by name.
std::span<const Description> Catalogue();
// Null: it is none of ours.
const Description* FindDescription(std::string_view name);

}  // namespace kata::metrics
