// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/support_bundle.h"

#include <fcntl.h>
#include <sys/klog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "host/cli/command.h"
#include "host/cli/doctor/step.h"
#include "host/cli/host.h"
#include "sys/files.h"

namespace kata::cli::doctor {
namespace {

using std::chrono::seconds;

constexpr char kFolder[] = "kata-runtime-doctor";
constexpr auto kPatience = seconds(20);
constexpr size_t kMostKernelLines = 300;
// SYSLOG_ACTION_READ_ALL of syslog(2).
constexpr int kReadAll = 3;

constexpr std::string_view kReadMe =
    "What kata-runtime doctor --bundle has collected, for those who are asked for help.\n"
    "\n"
    "doctor.txt, doctor.json   its result: what was tried, how long it took, what to do\n"
    "env.txt                   what was found on the host, and the configuration in effect with "
    "the\n"
    "                          origin of each value\n"
    "configuration/            the files that it was read from\n"
    "factory.json              templates and warm machines\n"
    "versions.txt              of kata-cpp, the kernel, the distribution, QEMU, virtiofsd and of "
    "the\n"
    "                          programs here that start containers\n"
    "host.txt                  processor, memory, modules, room on file systems\n"
    "logs/                     the shim's log of the doctor's container, the service "
    "kata-factory's\n"
    "                          last lines, and the kernel's lines about virtual machines\n"
    "\n"
    "Not in it: environment variables, containers and their files, configuration of other "
    "programs.\n"
    "Masked in all of it: passwords, tokens and the like as <secret>, names of this host and of "
    "its\n"
    "users as <host> and <user>, addresses as <address> and <mac>, machine ids and UUIDs as <id>.\n"
    "Look through it before you send it.\n";

constexpr std::array<std::string_view, 9> kKernelWords = {
    "kvm", "qemu", "virtiofsd", "vhost", "kata", "vfio", "Out of memory", "oom-kill", "pvm"};

// What a program prints; what it complains about when it fails.
Result<std::string> Said(std::vector<std::string> argv, int cancel) {
  sys::Command command;
  const std::string program = argv.front();
  command.argv = std::move(argv);
  auto done = RunStep(std::move(command), Deadline::After(kPatience), cancel);
  if (!done) {
    if (done.error().code() == Code::kCancelled) return std::unexpected(done.error());
    return fmt::format("{}: {}\n", program, done.error().message());
  }
  if (done->status.Success()) return done->output.empty() ? done->errors : done->output;
  return fmt::format("{}{}: {}\n{}", done->output, program, done->status.Describe(), done->errors);
}

std::string FileOrReason(const std::string& path) {
  auto text = sys::ReadFile(path, 1 << 20);
  return text ? *std::move(text) : text.error().message() + "\n";
}

std::string LinesWith(const std::string& text, std::string_view words) {
  std::string found;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    for (size_t from = 0; from < words.size();) {
      const size_t bar = std::min(words.find('|', from), words.size());
      if (line.starts_with(words.substr(from, bar - from))) {
        found.append(line).append("\n");
        break;
      }
      from = bar + 1;
    }
  }
  return found;
}

std::string HostText() {
  std::string text =
      fmt::format("kernel: {}\ncgroups: {}\n", KernelRelease(), ReadCgroups("").layout);
  const Cpu cpu = ReadCpu("");
  text += fmt::format("processor: {} {}\n\n", cpu.model, cpu.virtualization);
  text += LinesWith(FileOrReason("/proc/meminfo"),
                    "MemTotal|MemFree|MemAvailable|SwapTotal|SwapFree|Shmem|Huge") +
          "\n";
  text += LinesWith(FileOrReason("/proc/modules"),
                    "kvm|vhost|tun|tap|macvtap|virtio|fuse|overlay|sch_ingress|cls_u32|act_mirred|"
                    "veth|vsock") +
          "\n";
  for (const char* directory : {"/run", "/dev/shm", "/var/lib", "/tmp"}) {
    const auto space = FreeSpace(directory);
    text += space ? fmt::format("{}: {} MiB free\n", directory, space->free_bytes >> 20)
                  : space.error().message() + "\n";
  }
  for (const char* resource : {"cpu", "memory", "io"}) {
    text += fmt::format("pressure {}: {}", resource,
                        FileOrReason(fmt::format("/proc/pressure/{}", resource)));
  }
  return text;
}

std::string KernelLog() {
  std::string log(1 << 20, '\0');
  const int n = ::klogctl(kReadAll, log.data(), static_cast<int>(log.size()));
  if (n < 0) return FailErrno("syslog").error().message() + "\n";
  log.resize(static_cast<size_t>(n));
  return KernelLines(log);
}

Result<std::string> Versions(const BundleSources& sources, int cancel) {
  std::string text = VersionText() + "\n\n" + KernelRelease() + "\n";
  text += LinesWith(FileOrReason("/etc/os-release"), "PRETTY_NAME|VERSION_ID") + "\n";
  for (const std::string& program : sources.programs) {
    text += fmt::format("{}: {}\n", program, KATA_TRY(Said({program, "--version"}, cancel)));
  }
  return text;
}

}  // namespace

std::string KernelLines(const std::string& log) {
  std::deque<std::string_view> lines;
  for (size_t begin = 0; begin < log.size();) {
    const size_t end = std::min(log.find('\n', begin), log.size());
    const std::string_view line = std::string_view(log).substr(begin, end - begin);
    begin = end + 1;
    if (std::ranges::none_of(kKernelWords, [&](auto word) { return line.contains(word); }))
      continue;
    lines.push_back(line);
    if (lines.size() > kMostKernelLines) lines.pop_front();
  }
  return lines.empty() ? "" : fmt::format("{}\n", fmt::join(lines, "\n"));
}

Result<BundleFiles> CollectBundle(const BundleSources& sources, const Names& names, int cancel) {
  const auto runtime = [&](std::vector<std::string> words) {
    std::vector<std::string> argv = {sources.program};
    if (!sources.config.empty()) argv.insert(argv.end(), {"--config", sources.config});
    argv.insert(argv.end(), words.begin(), words.end());
    return Said(std::move(argv), cancel);
  };
  BundleFiles files = {{"doctor.txt", sources.text},
                       {"doctor.json", sources.json},
                       {"host.txt", HostText()},
                       {"logs/shim.log", sources.shim_log},
                       {"logs/kernel.log", KernelLog()}};
  files["env.txt"] = KATA_TRY(runtime({"env"}));
  files["factory.json"] = KATA_TRY(runtime({"factory", "status", "--json"}));
  files["versions.txt"] = KATA_TRY(Versions(sources, cancel));
  files["logs/kata-factory.log"] = KATA_TRY(
      Said({"journalctl", "-u", "kata-factory", "-n", "200", "--no-pager", "-o", "cat"}, cancel));
  for (size_t n = 0; n < sources.config_files.size(); ++n) {
    const std::string& path = sources.config_files[n];
    // Several may have one name.
    files[fmt::format("configuration/{}-{}", n + 1, path.substr(path.rfind('/') + 1))] =
        fmt::format("# {}\n{}", path, FileOrReason(path));
  }
  for (auto& [name, text] : files) text = Mask(text, names);
  files["README.txt"] = kReadMe;
  return files;
}

Result<BundleFile> BundleFile::Make(const std::string& path) {
  auto fd = sys::Open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!fd && fd.error().code() == Code::kAlreadyExists) {
    return Fail(
        Code::kAlreadyExists,
        fmt::format("--bundle {}: there is such a file; remove it, or choose another name", path));
  }
  if (!fd) return std::unexpected(std::move(fd).error().Within("--bundle"));
  return BundleFile(path, *std::move(fd));
}

BundleFile::BundleFile(BundleFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}

BundleFile::~BundleFile() {
  if (!path_.empty()) (void)sys::RemoveFile(path_);
}

Result<void> BundleFile::Write(const BundleFiles& files, int cancel) {
  std::string room = "/tmp/kata-runtime-doctor-XXXXXX";
  if (::mkdtemp(room.data()) == nullptr) return FailErrno("mkdtemp", room);
  const auto work = [&]() -> Result<void> {
    for (const auto& [name, text] : files) {
      const std::string path = fmt::format("{}/{}/{}", room, kFolder, name);
      KATA_TRY(sys::MakeDirs(path.substr(0, path.rfind('/')), 0700));
      KATA_TRY(sys::WriteFile(path, text, 0600));
    }
    // The archive is the standard output of tar: what it is called matters to nobody.
    const std::string packed = room + "/packed";
    sys::Command command;
    command.argv = {"tar",         "-C",   room,   "--owner=0", "--group=0", "--numeric-owner",
                    "--sort=name", "-czf", packed, kFolder};
    const auto done = KATA_TRY(RunStep(std::move(command), Deadline::After(kPatience), cancel));
    if (!done.status.Success()) {
      return Fail(Code::kInternal, fmt::format("tar: {}: {}", done.status.Describe(), done.errors));
    }
    return sys::WriteAll(fd_.get(), KATA_TRY(sys::ReadFile(packed, 64 << 20)));
  };
  auto written = work();
  (void)sys::RemoveTree(room);
  KATA_TRY_WITHIN(fmt::format("--bundle {}", path_), std::move(written));
  path_.clear();
  return {};
}

}  // namespace kata::cli::doctor
