// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "host/cli/doctor/facts.h"
#include "sys/files.h"

namespace kata::cli::doctor {
namespace {

struct KnownFrontEnd {
  std::string_view name;
  std::string_view program;
  std::string_view file;
  std::string_view drop_ins;  // a folder; empty: there is none
};

constexpr std::array kKnownFrontEnds = {
    KnownFrontEnd{"docker", "dockerd", "/etc/docker/daemon.json", ""},
    KnownFrontEnd{"containerd", "containerd", "/etc/containerd/config.toml",
                  "/etc/containerd/conf.d"},
    KnownFrontEnd{"podman", "podman", "/etc/containers/containers.conf",
                  "/etc/containers/containers.conf.d"},
    KnownFrontEnd{"cri-o", "crio", "/etc/crio/crio.conf", "/etc/crio/crio.conf.d"},
};

// What a configuration that knows this runtime has in one of its lines.
constexpr std::array<std::string_view, 3> kOurWords = {"containerd-shim-kata-v2", "kata-runtime",
                                                       "io.containerd.kata.v2"};

bool NamesUs(const std::string& path) {
  const auto text = sys::ReadFile(path, 1 << 20);
  if (!text) return false;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const std::string_view line = std::string_view(*text).substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos || line[first] == '#') continue;
    if (std::ranges::any_of(kOurWords, [&](auto word) { return line.contains(word); })) return true;
  }
  return false;
}

std::vector<std::string> ConfigurationFiles(const std::string& root, const KnownFrontEnd& known) {
  std::vector<std::string> files = {root + std::string(known.file)};
  if (known.drop_ins.empty()) return files;
  const std::string folder = root + std::string(known.drop_ins);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), ::closedir);
  while (const dirent* entry = stream ? ::readdir(stream.get()) : nullptr) {
    if (entry->d_name[0] != '.') files.push_back(fmt::format("{}/{}", folder, entry->d_name));
  }
  std::sort(files.begin() + 1, files.end());
  return files;
}

}  // namespace

std::vector<FrontEnd> FindFrontEnds(const std::string& root, const std::vector<std::string>& path) {
  std::vector<FrontEnd> found;
  for (const KnownFrontEnd& known : kKnownFrontEnds) {
    const auto folder = std::ranges::find_if(path, [&](const std::string& each) {
      return ::access(fmt::format("{}{}/{}", root, each, known.program).c_str(), X_OK) == 0;
    });
    if (folder == path.end()) continue;
    FrontEnd front_end{.name = std::string(known.name),
                       .path = fmt::format("{}/{}", *folder, known.program),
                       .file = std::string(known.file)};
    for (const std::string& file : ConfigurationFiles(root, known)) {
      if (!NamesUs(file)) continue;
      front_end.configured = true;
      front_end.file = file.substr(root.size());
      break;
    }
    found.push_back(std::move(front_end));
  }
  return found;
}

}  // namespace kata::cli::doctor
