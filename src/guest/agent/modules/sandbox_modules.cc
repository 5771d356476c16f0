// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/modules/sandbox_modules.h"

#include <sys/utsname.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "guest/agent/modules/module_loader.h"
#include "guest/agent/modules/module_tree.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr int kMaxModules = 64;
constexpr size_t kMaxModuleName = 55;  // MODULE_NAME_LEN of the kernel, less the NUL
constexpr size_t kMaxParameter = 1024;
constexpr const char* kSysModule = "/sys/module";
constexpr std::string_view kOrLeaveOut = "or take it out of kernel_modules in configuration.toml";

bool IsPlainName(std::string_view name, size_t limit) {
  return !name.empty() && name.size() <= limit && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '_' || c == '-' || c == '.';
         });
}

bool IsParameter(std::string_view parameter) {
  return parameter.size() <= kMaxParameter &&
         IsPlainName(parameter.substr(0, parameter.find('=')), kMaxParameter) &&
         std::ranges::all_of(parameter, [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string RunningRelease() {
  utsname kernel{};
  return ::uname(&kernel) == 0 ? kernel.release : "?";
}

std::unexpected<Error> RefuseModule(const agent::KernelModule& module, std::string_view reason) {
  return Fail(Code::kFailedPrecondition,
              fmt::format("kernel module \"{}\": {}", module.name(), reason));
}

std::string_view TrimNewline(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

// The kernel shows switches as Y and N, and takes 1 and 0 for them.
bool SameValue(std::string_view shown, std::string_view wanted) {
  const auto plain = [](std::string_view value) {
    if (value == "Y" || value == "y") return std::string_view("1");
    if (value == "N" || value == "n") return std::string_view("0");
    return value;
  };
  return plain(TrimNewline(shown)) == plain(wanted);
}

Result<void> LoadWanted(const Result<ModuleTree>& tree, const agent::KernelModule& module) {
  const std::string directory = fmt::format("{}/{}", kSysModule, ModuleName(module.name()));
  if (sys::Exists(directory)) return SetModuleParameters(kSysModule, module);
  if (tree && tree->BuiltIn(ModuleName(module.name()))) {
    if (module.parameters().empty()) return {};
    return RefuseModule(
        module, fmt::format("it is built in, without parameters; leave them out, {}", kOrLeaveOut));
  }
  if (!tree || !tree->LoadsModules()) {
    return RefuseModule(
        module, fmt::format("the guest's kernel {} loads no modules, and it is not built in; use a "
                            "distribution's kernel (docs/guest-kernel.md), {}",
                            RunningRelease(), kOrLeaveOut));
  }
  auto loaded =
      LoadModule(*tree, module.name(), fmt::format("{}", fmt::join(module.parameters(), " ")));
  if (loaded) return loaded;
  if (loaded.error().code() == Code::kNotFound) {
    return RefuseModule(module, fmt::format("not among the modules in the guest of kernel {}; add "
                                            "it (docs/guest-kernel.md), {}",
                                            RunningRelease(), kOrLeaveOut));
  }
  return RefuseModule(
      module, fmt::format("{}; correct its parameters, {}", loaded.error().message(), kOrLeaveOut));
}

}  // namespace

Result<void> CheckModules(const agent::CreateSandboxRequest& request) {
  if (request.kernel_modules_size() > kMaxModules) {
    return Fail(Code::kInvalidArgument, fmt::format("{} kernel modules: up to {} are possible",
                                                    request.kernel_modules_size(), kMaxModules));
  }
  for (const agent::KernelModule& module : request.kernel_modules()) {
    if (!IsPlainName(module.name(), kMaxModuleName)) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("kernel module \"{}\": bad name", module.name()));
    }
    for (const std::string& parameter : module.parameters()) {
      if (IsParameter(parameter)) continue;
      return Fail(Code::kInvalidArgument,
                  fmt::format("kernel module \"{}\": parameter \"{}\": give it as name=value",
                              module.name(), parameter));
    }
  }
  return {};
}

Result<void> SetModuleParameters(const std::string& directory, const agent::KernelModule& module) {
  for (const std::string& parameter : module.parameters()) {
    const size_t equals = parameter.find('=');
    const std::string name = parameter.substr(0, equals);
    // A parameter without a value switches something on.
    const std::string value = equals == std::string::npos ? "1" : parameter.substr(equals + 1);
    const std::string path =
        fmt::format("{}/{}/parameters/{}", directory, ModuleName(module.name()), name);
    const auto has = sys::ReadFile(path);
    if (has && SameValue(*has, value)) continue;
    if (sys::WriteControl(path, value)) continue;
    return RefuseModule(module,
                        fmt::format("it is there already, and its parameter {} cannot be set "
                                    "to \"{}\" any more; for what is built in, add {}.{}={} "
                                    "to kernel_params in configuration.toml",
                                    name, value, ModuleName(module.name()), name, value));
  }
  return {};
}

Result<void> LoadSandboxModules(const agent::CreateSandboxRequest& request) {
  const auto tree = ModuleTree::OpenRunning();
  for (const agent::KernelModule& module : request.kernel_modules()) {
    KATA_TRY(LoadWanted(tree, module));
  }
  return {};
}

}  // namespace kata::guest
