// SPDX-License-Identifier: Apache-2.0
#include "host/plan/copy_update.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <ranges>
#include <string_view>

namespace kata::sandbox {
namespace {

using agent::GuestFile;
using Index = std::map<std::string_view, const GuestFile*>;

Index IndexOf(const std::vector<GuestFile>& files) {
  Index index;
  for (const GuestFile& file : files) index[file.path] = &file;
  return index;
}

bool IsSame(const GuestFile& one, const GuestFile& other) {
  return one.mode == other.mode && one.uid == other.uid && one.gid == other.gid &&
         one.content == other.content;
}

bool IsOrIsIn(std::string_view path, std::string_view top) {
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

// When it comes: files, what makes all of them the volume's, and the names that lead there.
constexpr int kLastRank = 2;
int RankOf(const GuestFile& file) {
  if (!S_ISLNK(file.mode)) return 0;
  return file.path.ends_with(std::string("/") + kDataLink) ? 1 : kLastRank;
}

}  // namespace

CopyUpdate PlanCopyUpdate(const std::vector<GuestFile>& before, const std::vector<GuestFile>& now) {
  CopyUpdate update;
  const Index was = IndexOf(before);
  const Index is = IndexOf(now);
  std::vector<std::string_view> replaced;
  for (const GuestFile& file : before) {
    const auto found = is.find(file.path);
    const bool other = found != is.end() && ((found->second->mode ^ file.mode) & S_IFMT) != 0;
    if (other) replaced.push_back(file.path);
  }
  std::vector<std::string> gone;  // but for links, whose names lead to it
  for (const GuestFile& file : std::views::reverse(before)) {
    if (std::ranges::any_of(replaced, [&](auto top) { return IsOrIsIn(file.path, top); })) {
      update.remove_first.push_back(file.path);
    } else if (!is.contains(file.path)) {
      (S_ISLNK(file.mode) ? update.remove_last : gone).push_back(file.path);
    }
  }
  update.remove_last.insert(update.remove_last.end(), gone.begin(), gone.end());
  for (int rank = 0; rank <= kLastRank; ++rank) {
    for (const GuestFile& file : now) {
      const auto found = was.find(file.path);
      const bool known = found != was.end() && IsSame(*found->second, file);
      if (!known && RankOf(file) == rank) update.send.push_back(file);
    }
  }
  return update;
}

}  // namespace kata::sandbox
