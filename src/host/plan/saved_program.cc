// SPDX-License-Identifier: Apache-2.0
#include "host/plan/saved_program.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kata::sandbox {
namespace {

constexpr size_t kMostShown = 200;

std::string Words(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " ")).substr(0, kMostShown);
}

std::unexpected<Error> Differs(std::string_view what, std::string_view saved,
                               std::string_view wanted) {
  return Fail(Code::kFailedPrecondition,
              fmt::format("the saved container's {} {}, and the new one asks for {}: what goes on "
                          "keeps it, so ask for the same",
                          what, saved, wanted));
}

}  // namespace

SavedProgram ProgramOf(const oci::Spec& spec) {
  const oci::Process& process = spec.process();
  SavedProgram program{.args = {process.args().begin(), process.args().end()},
                       .uid = process.user().uid(),
                       .gid = process.user().gid(),
                       .mounts = {}};
  for (const oci::Mount& mount : spec.mounts()) program.mounts.push_back(mount.destination());
  return program;
}

Result<void> CheckSameProgram(const SavedProgram& saved, const oci::Spec& wanted) {
  const SavedProgram asked = ProgramOf(wanted);
  if (asked.args != saved.args) {
    return Differs("program is", fmt::format("\"{}\"", Words(saved.args)),
                   fmt::format("\"{}\"", Words(asked.args)));
  }
  if (asked.uid != saved.uid || asked.gid != saved.gid) {
    return Differs("user is", fmt::format("{}:{}", saved.uid, saved.gid),
                   fmt::format("{}:{}", asked.uid, asked.gid));
  }
  std::vector<std::string> then = saved.mounts;
  std::vector<std::string> now = asked.mounts;
  std::ranges::sort(then);
  std::ranges::sort(now);
  if (then == now) return {};
  return Differs("mounts are at", Words(saved.mounts), Words(asked.mounts));
}

}  // namespace kata::sandbox
