// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "host/cli/command.h"
#include "host/cli/setup/setup.h"
#include "sys/program.h"

namespace kata::cli {
namespace {

struct SetupArguments {
  setup::SetupOptions options;
  bool json = false;
};

std::string AbsolutePath(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

Result<int> RunSetupCommand(const std::string& word, const SetupArguments& arguments) {
  setup::SetupOptions options = arguments.options;
  options.config_file = AbsolutePath(options.config_file);
  options.sysroot = AbsolutePath(options.sysroot);
  if (!options.sysroot.empty() && !std::filesystem::is_directory(options.sysroot)) {
    return Fail(Code::kNotFound,
                fmt::format("--sysroot \"{}\": no such directory", options.sysroot));
  }
  const std::string shim = KATA_TRY(sys::FindNeighbour(setup::kShimProgram));
  const setup::KataPrograms programs{.runtime = sys::OwnProgram(), .shim = shim};
  const auto report =
      KATA_TRY(setup::RunSetup(word, options, programs, [&arguments](std::string_view text) {
        if (!arguments.json) (void)Print(text);
      }));
  if (arguments.json && Print(setup::RenderSetupJson(report)) != 0) return 1;
  return report.ok() ? 0 : 1;
}

std::string WrongName(const std::string& name) {
  const bool letter =
      !name.empty() && ((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z'));
  constexpr const char* kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  if (letter && name.find_first_not_of(kAllowed) == name.npos && name != "runc") return "";
  return fmt::format("\"{}\" is no name for a runtime: a letter, then letters, digits, _ and -",
                     name);
}

// One front end of `setup`: its word, and what its help says.
struct FrontEndHelp {
  const char* word;
  const char* summary;
  const char* file;     // for --config-file
  const char* restart;  // for --restart; nullptr: nothing to restart
  const char* footer;
};

constexpr FrontEndHelp kFrontEnds[] = {
    {"docker", "Add the runtime to Docker's daemon.json", "daemon.json of dockerd",
     "restart Docker with systemctl instead of having dockerd load its file again",
     "Docker 23 and later get the shim, older ones runc's command line. dockerd loads its file\n"
     "again, running containers go on.\n"
     "\n"
     "Examples:\n"
     "  kata-runtime setup docker --dry-run    show what would change\n"
     "  kata-runtime setup docker              docker run --runtime kata ...\n"
     "  kata-runtime setup docker --default    docker run ... and docker build\n"
     "  kata-runtime setup docker --undo       put the file back\n"},
    {"containerd", "Add the runtime to containerd's CRI plugin, for Kubernetes",
     "config.toml of containerd", "restart containerd with systemctl; containers go on",
     "ctr and nerdctl need no setup: --runtime io.containerd.kata.v2 names the shim. What is "
     "added\n"
     "is a handler for pods: make a RuntimeClass with the handler \"kata\".\n"
     "\n"
     "Examples:\n"
     "  kata-runtime setup containerd --dry-run    show what would change\n"
     "  kata-runtime setup containerd --restart    change it, and restart containerd\n"
     "  kata-runtime setup containerd --undo       put the file back\n"},
    {"podman", "Add the runtime to Podman's containers.conf.d",
     "the drop-in to write, instead of /etc/containers/containers.conf.d/50-kata.conf", nullptr,
     "The runtime is for root's containers. With --default users without root need --runtime.\n"
     "\n"
     "Examples:\n"
     "  kata-runtime setup podman              podman --runtime kata run ...\n"
     "  kata-runtime setup podman --default    podman run ...\n"
     "  kata-runtime setup podman --undo       remove the file again\n"},
    {"cri-o", "Add the runtime to CRI-O's crio.conf.d, for Kubernetes",
     "the drop-in to write, instead of /etc/crio/crio.conf.d/50-kata.conf",
     "restart CRI-O with systemctl; containers go on",
     "What is added is a handler for pods: make a RuntimeClass with the handler \"kata\".\n"
     "\n"
     "Examples:\n"
     "  kata-runtime setup cri-o --dry-run    show what would change\n"
     "  kata-runtime setup cri-o --restart    change it, and restart CRI-O\n"
     "  kata-runtime setup cri-o --undo       remove the file again\n"}};

void AddFrontEnd(CLI::App& setup, const FrontEndHelp& help, int* status) {
  CLI::App* command = setup.add_subcommand(help.word, help.summary);
  command->footer(help.footer);
  const auto arguments = std::make_shared<SetupArguments>();
  setup::SetupOptions& options = arguments->options;
  CLI::Option* undo =
      command->add_flag("--undo", options.undo, "take out what an earlier setup has put in");
  command
      ->add_flag("--default", options.make_default, "containers that name no runtime get this one")
      ->excludes(undo);
  command->add_flag("--dry-run", options.dry_run, "show the difference, and change nothing");
  if (help.restart != nullptr) command->add_flag("--restart", options.restart, help.restart);
  command->add_flag("--no-check", options.no_check, "run no container at the end");
  command
      ->add_option("--image", options.image,
                   "image to run at the end, pulled if it is missing; otherwise one that is there")
      ->type_name("IMAGE");
  command->add_option("--name", options.name, "what the runtime is called")
      ->type_name("NAME")
      ->capture_default_str()
      ->check(CLI::Validator(WrongName, "", ""));
  command->add_option("--config-file", options.config_file, help.file)->type_name("FILE");
  command
      ->add_option("--sysroot", options.sysroot,
                   "change files below this directory, and look at nothing that runs here")
      ->type_name("DIR");
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([word = std::string(help.word), arguments, status] {
    const auto done = RunSetupCommand(word, *arguments);
    *status = done ? *done : PrintError(done.error());
  });
}

}  // namespace

void AddSetup(CLI::App& app, int* status) {
  CLI::App* command =
      app.add_subcommand("setup", "Have Docker, containerd, Podman or CRI-O use this runtime");
  command->require_subcommand(1);
  command->footer(
      "The difference is shown before a file is changed. The front end loads it, and a container\n"
      "that runs at the end proves that it has a machine of its own; when one of these fails, the\n"
      "file is put back. A file that cannot be read for certain is never changed.\n"
      "\n"
      "Examples:\n"
      "  kata-runtime setup docker --default     docker run has machines from now on\n"
      "  kata-runtime setup docker --undo        as it was\n"
      "  kata-runtime setup podman --dry-run     what would change\n");
  for (const FrontEndHelp& help : kFrontEnds) AddFrontEnd(*command, help, status);
}

}  // namespace kata::cli
