// SPDX-License-Identifier: Apache-2.0
//
// cli/setup/text_diff.h - what differs between two texts, as `diff -u` shows it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kata::cli::setup {

// Empty where nothing differs. A file that is absent is "/dev/null" in its heading.
std::string UnifiedDiff(const std::string& path, const std::optional<std::string>& before,
                        const std::optional<std::string>& after);

}  // namespace kata::cli::setup
