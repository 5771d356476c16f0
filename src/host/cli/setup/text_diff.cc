// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/text_diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

namespace kata::cli::setup {
namespace {

constexpr size_t kContextLines = 3;
// Above this, what lies between the equal ends is shown as replaced: the table of the search would
// not be worth its memory.
constexpr size_t kMaxTable = 4 << 20;

// Each with its line end, where it has one.
std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t size = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

struct DiffLine {
  char mark;  // ' ', '-' or '+'
  std::string_view text;
};

using DiffSpan = std::pair<const std::string_view*, size_t>;

// The longest common subsequence of what differs in the middle.
void AppendMiddle(DiffSpan old_lines, DiffSpan new_lines, std::vector<DiffLine>* script) {
  const auto [a, n] = old_lines;
  const auto [b, m] = new_lines;
  if ((n + 1) * (m + 1) > kMaxTable) {
    for (size_t i = 0; i < n; ++i) script->push_back({'-', a[i]});
    for (size_t j = 0; j < m; ++j) script->push_back({'+', b[j]});
    return;
  }
  // common[i][j]: of a[i..] and b[j..].
  std::vector<uint32_t> common((n + 1) * (m + 1));
  const auto at = [&common, width = m + 1](size_t i, size_t j) -> uint32_t& {
    return common[i * width + j];
  };
  for (size_t i = n; i-- > 0;) {
    for (size_t j = m; j-- > 0;) {
      at(i, j) = a[i] == b[j] ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
    }
  }
  size_t i = 0;
  size_t j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && a[i] == b[j]) {
      script->push_back({' ', a[i]});
      ++i, ++j;
    } else if (j == m || (i < n && at(i + 1, j) >= at(i, j + 1))) {
      script->push_back({'-', a[i++]});
    } else {
      script->push_back({'+', b[j++]});
    }
  }
}

std::vector<DiffLine> EditScript(const std::vector<std::string_view>& a,
                                 const std::vector<std::string_view>& b) {
  const size_t shorter = std::min(a.size(), b.size());
  size_t head = 0;
  while (head < shorter && a[head] == b[head]) ++head;
  size_t tail = 0;
  while (tail < shorter - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;
  std::vector<DiffLine> script;
  for (size_t i = 0; i < head; ++i) script.push_back({' ', a[i]});
  AppendMiddle({a.data() + head, a.size() - head - tail}, {b.data() + head, b.size() - head - tail},
               &script);
  for (size_t i = a.size() - tail; i < a.size(); ++i) script.push_back({' ', a[i]});
  return script;
}

std::string RangeOf(size_t first, size_t count) {
  // An empty range is named by the line before it.
  const size_t line = count == 0 ? first : first + 1;
  return count == 1 ? fmt::format("{}", line) : fmt::format("{},{}", line, count);
}

}  // namespace

std::string UnifiedDiff(const std::string& path, const std::optional<std::string>& before,
                        const std::optional<std::string>& after) {
  if (before == after) return "";
  const std::vector<DiffLine> script =
      EditScript(SplitLines(before ? std::string_view(*before) : ""),
                 SplitLines(after ? std::string_view(*after) : ""));
  std::string text =
      fmt::format("--- {}\n+++ {}\n", before ? path : "/dev/null", after ? path : "/dev/null");
  size_t old_line = 0;
  size_t new_line = 0;
  size_t done = 0;
  while (true) {
    size_t change = done;
    while (change < script.size() && script[change].mark == ' ') ++change;
    if (change == script.size()) return text;
    const size_t begin = std::max(done, change - std::min(change, kContextLines));
    old_line += begin - done, new_line += begin - done;
    // A hunk goes on while the next change is within two contexts.
    size_t end = change;
    for (size_t i = change; i < script.size() && i <= end + 2 * kContextLines; ++i) {
      if (script[i].mark != ' ') end = i;
    }
    end = std::min(end + 1 + kContextLines, script.size());
    std::string body;
    size_t old_count = 0;
    size_t new_count = 0;
    for (size_t i = begin; i < end; ++i) {
      old_count += script[i].mark != '+';
      new_count += script[i].mark != '-';
      body += script[i].mark;
      body += script[i].text;
      if (!script[i].text.ends_with('\n')) body += "\n\\ No newline at end of file\n";
    }
    text += fmt::format("@@ -{} +{} @@\n{}", RangeOf(old_line, old_count),
                        RangeOf(new_line, new_count), body);
    old_line += old_count, new_line += new_count;
    done = end;
  }
}

}  // namespace kata::cli::setup
