// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/modules/module_loader.h"

#include <fcntl.h>
#include <linux/module.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "base/deadline.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);
constexpr const char* kModprobe = "/sbin/modprobe";
constexpr size_t kMaxNotes = 16 << 10;

Result<void> LoadFile(const std::string& path, const std::string& parameters) {
  const sys::UniqueFd file = KATA_TRY(sys::Open(path, O_RDONLY));
  const int flags = path.ends_with(".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;
  if (::syscall(SYS_finit_module, file.get(), parameters.c_str(), flags) == 0) return {};
  if (errno == EEXIST) return {};
  Error error = Error::FromErrno("load module", ModuleName(path));
  return std::unexpected(std::move(error).WithCode(Code::kFailedPrecondition));
}

Result<void> LoadPlanned(const LoadPlan& plan, const std::string& parameters) {
  for (const std::string& file : plan) {
    KATA_TRY(LoadFile(file, &file == &plan.back() ? parameters : std::string()));
  }
  return {};
}

void NoteFailure(std::string& notes, const Result<void>& result) {
  if (!result) notes += result.error().message() + '\n';
}

Result<void> MakeDeviceFile(const DeviceName& device) {
  const std::string path = "/dev/" + device.path;
  KATA_TRY(sys::MakeDirs(path.substr(0, path.rfind('/'))));
  const mode_t kind = device.block ? S_IFBLK : S_IFCHR;
  if (::mknod(path.c_str(), kind | 0600, ::makedev(device.major, device.minor)) == 0) return {};
  if (errno == EEXIST) return {};
  return FailErrno("mknod", path);
}

// The kernel looks for it at the root that it started with, whose files are those of ours. An image
// may bring a modprobe of its own.
Result<void> OfferModprobe() {
  if (sys::Exists(kModprobe)) return {};
  KATA_TRY(sys::MakeDirs("/sbin"));
  if (::symlink("/init", kModprobe) != 0) return FailErrno("symlink", kModprobe);
  return {};
}

std::string BootWork(const ModuleTree& tree) {
  std::string notes;
  NoteFailure(notes, OfferModprobe());
  for (const std::string& module : tree.BootModules()) {
    NoteFailure(notes, LoadModule(tree, module));
  }
  for (const DeviceName& device : tree.DeviceNames()) NoteFailure(notes, MakeDeviceFile(device));
  return notes;
}

}  // namespace

Result<void> LoadModule(const ModuleTree& tree, std::string_view wanted,
                        const std::string& parameters) {
  const std::vector<LoadPlan> plans = KATA_TRY(tree.Resolve(wanted));
  Result<void> first;
  bool loaded = plans.empty();
  for (const LoadPlan& plan : plans) {
    Result<void> result = LoadPlanned(plan, parameters);
    loaded |= result.has_value();
    if (!result && first) first = std::move(result);
  }
  // Of several that answer to an alias, some are for other processors.
  return loaded ? Result<void>() : first;
}

std::string LoadBootModules() {
  const auto tree = ModuleTree::OpenRunning();
  if (!tree || !tree->LoadsModules()) return "";
  auto pipe = sys::MakePipe();
  if (!pipe) return pipe.error().message();
  const pid_t child = ::fork();
  if (child < 0) return FailErrno("fork").error().message();
  if (child == 0) {
    const std::string notes = BootWork(*tree).substr(0, kMaxNotes);
    const ssize_t written = ::write(pipe->write.get(), notes.data(), notes.size());
    ::_exit(written < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
  }
  pipe->write.Reset();
  const Deadline deadline = Deadline::After(kPatience);
  std::string notes;
  for (;;) {
    pollfd readable{.fd = pipe->read.get(), .events = POLLIN, .revents = 0};
    const int ready =
        sys::RetryOnEintr([&] { return ::poll(&readable, 1, deadline.PollMillis()); });
    if (ready == 0) {
      // Inside a driver it does not die now; then it is reaped when it does.
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, WNOHANG);
      return notes + fmt::format("the drivers were not loaded within {} s\n", kPatience.count());
    }
    char piece[4096];
    const ssize_t n =
        sys::RetryOnEintr([&] { return ::read(pipe->read.get(), piece, sizeof piece); });
    if (n <= 0) break;
    notes.append(piece, static_cast<size_t>(n));
  }
  ::waitpid(child, nullptr, 0);
  return notes;
}

bool IsModprobe(int argc, char** argv) {
  return argc > 0 && std::string_view(argv[0]).ends_with("/modprobe");
}

int ModprobeMain(int argc, char** argv) {
  int at = 1;
  while (at < argc && argv[at][0] == '-') {
    if (std::string_view(argv[at++]) == "--") break;
  }
  if (at >= argc) return EXIT_FAILURE;
  const std::string_view wanted = argv[at++];
  std::string parameters;
  for (; at < argc; ++at) {
    if (!parameters.empty()) parameters += ' ';
    parameters += argv[at];
  }
  const auto tree = ModuleTree::OpenRunning();
  return tree && LoadModule(*tree, wanted, parameters) ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace kata::guest
