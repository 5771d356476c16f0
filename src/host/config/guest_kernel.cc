// SPDX-License-Identifier: Apache-2.0
#include "host/config/guest_kernel.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::config {
namespace {

namespace fs = std::filesystem;
using Info = std::map<std::string, std::string, std::less<>>;

constexpr size_t kMaxInfo = 64 << 10;
constexpr const char* kInfoFile = "kernel.info";
constexpr const char* kChosenFolder = "/var/lib/kata-containers/guest-kernel";

std::optional<Info> ReadInfo(const std::string& directory) {
  const auto text = sys::ReadFile(fmt::format("{}/{}", directory, kInfoFile), kMaxInfo);
  if (!text) return std::nullopt;
  Info info;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    info.emplace(line.substr(0, colon), line.substr(colon + 2));
  }
  return info;
}

std::string ValueOf(const Info& info, std::string_view key) {
  const auto it = info.find(key);
  return it == info.end() ? std::string() : it->second;
}

std::vector<std::string> SplitAtBlanks(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

// As kata-guest-kernel writes it: "size time".
std::string Stamp(const std::string& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return {};
  return fmt::format("{} {}", status.st_size, status.st_mtim.tv_sec);
}

}  // namespace

bool GuestKernel::Lacks(std::string_view what) const {
  return std::ranges::find(lacks, what) != lacks.end();
}

std::optional<GuestKernel> DescribeKernel(const std::string& path) {
  const auto info = ReadInfo(fs::path(path).parent_path());
  if (!info) return std::nullopt;
  return GuestKernel{.kind = ValueOf(*info, "kind"),
                     .release = ValueOf(*info, "release"),
                     .source = ValueOf(*info, "source"),
                     .lacks = SplitAtBlanks(ValueOf(*info, "lacks"))};
}

ChosenGuest FindChosenGuest(const std::string& root, const std::string& share) {
  const fs::path folder = root + kChosenFolder;
  std::error_code error;
  // Resolved once: kernel and initrd are of the same making, whatever is chosen meanwhile.
  const fs::path current = fs::read_symlink(folder / "current", error);
  if (error) return {};
  const std::string directory = folder / current;
  const auto info = ReadInfo(directory);
  // Another installation's is no concern of ours.
  if (!info || ValueOf(*info, "installation") != fs::weakly_canonical(share, error).string()) {
    return {};
  }
  if (ValueOf(*info, "initrd") == Stamp(share + "/kata-containers-initrd.img")) {
    return {.directory = directory, .warning = {}};
  }
  return {
      .directory = {},
      .warning = fmt::format("the guest's kernel {} of kata-guest-kernel comes with the agent of "
                             "another kata-cpp and is not taken: run kata-guest-kernel refresh",
                             ValueOf(*info, "release"))};
}

}  // namespace kata::config
