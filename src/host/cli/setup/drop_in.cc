// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/drop_in.h"

#include <fmt/format.h>

#include "host/config/render.h"

namespace kata::cli::setup {

std::string PodmanDropIn(const std::string& name, bool make_default, const KataPrograms& programs) {
  std::string text(kDropInMark);
  if (make_default) text += fmt::format("[engine]\nruntime = {}\n\n", config::ToToml(name));
  return text +
         fmt::format("[engine.runtimes]\n{} = [{}]\n", name, config::ToToml(programs.runtime));
}

std::string CrioDropIn(const std::string& name, bool make_default, const KataPrograms& programs) {
  std::string text(kDropInMark);
  if (make_default) {
    text += fmt::format("[crio.runtime]\ndefault_runtime = {}\n\n", config::ToToml(name));
  }
  // A privileged container is so in its machine; the host's devices are not for it.
  return text + fmt::format(
                    "[crio.runtime.runtimes.{}]\n"
                    "runtime_path = {}\n"
                    "runtime_type = \"vm\"\n"
                    "runtime_root = \"/run/vc\"\n"
                    "privileged_without_host_devices = true\n",
                    name, config::ToToml(programs.shim));
}

Result<std::string> PlanDropIn(const ConfigFile& file, const std::string& wanted) {
  if (file.text && *file.text != wanted && !file.text->starts_with(kDropInMark)) {
    return Fail(Code::kAlreadyExists,
                fmt::format("{} is there and was not written by kata-runtime setup; remove it, or "
                            "choose another file with --config-file",
                            file.path));
  }
  return wanted;
}

}  // namespace kata::cli::setup
