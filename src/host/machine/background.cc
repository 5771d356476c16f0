// SPDX-License-Identifier: Apache-2.0
#include "host/machine/background.h"

#include "host/factory/layer_store.h"
#include "host/machine/mount_namespace.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/program.h"

namespace kata::sandbox {

Result<void> StartInBackground(const config::Loaded& config, const std::string& action,
                               const std::string& input,
                               const std::vector<std::string>& cgroup_dirs) {
  const sys::UniqueFd file = KATA_TRY(sys::MakeTextFile(input));
  sys::Command command;
  command.executable = sys::OwnProgram();
  command.argv = {command.executable, action};
  if (!config.files.empty()) command.argv.insert(command.argv.end(), {"-config", config.files[0]});
  command.cwd = "/";
  command.stdin_fd = file.get();
  command.new_session = true;
  command.cgroup_dirs = cgroup_dirs;
  // Not in ours, whose mounts would live as long as the builder.
  if (const int host = RememberedMountNamespace(); host >= 0) command.namespace_fds = {host};
  auto child = KATA_TRY(sys::ChildProcess::Spawn(command));
  (void)child.Detach();
  return {};
}

Result<void> StartLayerBuild(const config::Loaded& config,
                             const std::vector<std::string>& directories,
                             const std::vector<std::string>& cgroup_dirs) {
  const config::FactoryConfig& factory = config.config.factory;
  const factory::LayerStore store(factory.layers_path, factory.layer_cache_size_mb);
  if (!KATA_TRY(store.TryLock())) return {};
  return StartInBackground(config, "layers", FormatDirectories(directories), cgroup_dirs);
}

std::string FormatDirectories(const std::vector<std::string>& directories) {
  std::string text;
  for (const std::string& directory : directories) text.append(directory).push_back('\0');
  return text;
}

Result<std::vector<std::string>> ParseDirectories(std::string_view text) {
  std::vector<std::string> directories;
  while (!text.empty()) {
    const size_t end = text.find('\0');
    if (end == std::string_view::npos || text.front() != '/') {
      return Fail(Code::kInvalidArgument,
                  "standard input is no list of absolute paths, each with a zero byte behind it");
    }
    directories.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return directories;
}

}  // namespace kata::sandbox
