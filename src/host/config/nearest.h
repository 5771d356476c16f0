// SPDX-License-Identifier: Apache-2.0
//
// config/nearest.h - "did you mean ...?"
#pragma once

#include <span>
#include <string_view>

namespace kata::config {

// The candidate that takes the fewest insertions, removals and replacements of single characters to
// become `word`, when these are at most a third of it; empty otherwise.
std::string_view Nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace kata::config
