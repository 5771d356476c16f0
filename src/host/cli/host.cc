// SPDX-License-Identifier: Apache-2.0
#include "host/cli/host.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::cli {
namespace {

constexpr auto kVersionTime = std::chrono::seconds(10);
constexpr size_t kMaxVersionText = 64 << 10;

std::string ReadOrEmpty(const std::string& path) {
  auto text = sys::ReadFile(path, 16 << 20);
  return text ? *std::move(text) : std::string();
}

// Calls `use` with each line of `text` until it returns false.
template <class Use>
void ForEachLine(std::string_view text, Use use) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (!use(text.substr(0, end))) return;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::vector<std::string> Split(std::string_view text, std::string_view separators) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

int64_t Kilobytes(std::string_view line) {
  const size_t digit = line.find_first_of("0123456789");
  int64_t value = 0;
  if (digit != line.npos) std::from_chars(line.data() + digit, line.data() + line.size(), value);
  return value;
}

// A file of the system mapped for reading.
class Mapping {
 public:
  explicit Mapping(const std::string& path) {
    const auto fd = sys::Open(path, O_RDONLY);
    struct stat status;
    if (!fd || ::fstat(fd->get(), &status) != 0 || status.st_size <= 0) return;
    const auto size = static_cast<size_t>(status.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd->get(), 0);
    if (address == MAP_FAILED) return;
    view_ = {static_cast<const char*>(address), size};
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (!view_.empty()) ::munmap(const_cast<char*>(view_.data()), view_.size());
  }
  std::string_view view() const { return view_; }

 private:
  std::string_view view_;
};

}  // namespace

Cpu ReadCpu(const std::string& root) {
  Cpu cpu;
  ForEachLine(ReadOrEmpty(root + "/proc/cpuinfo"), [&cpu](std::string_view line) {
    const size_t colon = line.find(": ");
    if (colon == line.npos) return !line.empty();  // an empty line ends the first processor
    if (line.starts_with("model name")) cpu.model = line.substr(colon + 2);
    if (line.starts_with("flags")) {
      const auto flags = Split(line.substr(colon + 2), " ");
      if (Contains(flags, "vmx")) cpu.virtualization = "vmx";
      if (Contains(flags, "svm")) cpu.virtualization = "svm";
    }
    return true;
  });
  return cpu;
}

Memory ReadMemory(const std::string& root) {
  Memory memory;
  ForEachLine(ReadOrEmpty(root + "/proc/meminfo"), [&memory](std::string_view line) {
    if (line.starts_with("MemTotal:")) memory.total_mib = Kilobytes(line) >> 10;
    if (line.starts_with("MemAvailable:")) memory.available_mib = Kilobytes(line) >> 10;
    return true;
  });
  return memory;
}

Cgroups ReadCgroups(const std::string& root) {
  Cgroups cgroups;
  std::string unified;
  // Fields of a line: source, mount point, type, options.
  ForEachLine(ReadOrEmpty(root + "/proc/mounts"), [&](std::string_view line) {
    const auto fields = Split(line, " ");
    if (fields.size() < 4) return true;
    if (fields[2] == "cgroup2" && unified.empty()) unified = fields[1];
    if (fields[2] != "cgroup") return true;
    for (const char* name : {"cpu", "cpuset", "memory", "pids", "devices", "freezer", "blkio"}) {
      if (Contains(Split(fields[3], ","), name)) cgroups.v1_controllers.emplace_back(name);
    }
    return true;
  });
  if (!unified.empty()) {
    cgroups.v2_controllers = Split(ReadOrEmpty(root + unified + "/cgroup.controllers"), " \n");
  }
  const bool v1 = !cgroups.v1_controllers.empty();
  cgroups.layout = unified.empty() ? (v1 ? "v1" : "none") : (v1 ? "hybrid" : "v2");
  return cgroups;
}

std::string KernelRelease() {
  struct utsname name;
  return ::uname(&name) == 0 ? name.release : "";
}

Result<Space> FreeSpace(const std::string& directory) {
  struct statvfs status;
  if (::statvfs(directory.c_str(), &status) != 0) return FailErrno("statvfs", directory);
  return Space{.free_bytes = uint64_t{status.f_bavail} * status.f_frsize,
               .free_inodes = status.f_files == 0 ? UINT64_MAX : uint64_t{status.f_favail}};
}

Result<std::string> ProgramVersion(const std::string& program) {
  const Deadline deadline = Deadline::After(kVersionTime);
  sys::Pipe pipe = KATA_TRY(sys::MakePipe());
  sys::Command command;
  command.argv = {program, "--version"};
  command.stdout_fd = pipe.write.get();
  command.stderr_fd = pipe.write.get();
  sys::ChildProcess child = KATA_TRY(sys::ChildProcess::Spawn(command));
  pipe.write.Reset();
  // A version fits into the pipe, so the program never waits for a reader.
  KATA_TRY(child.Wait(deadline));
  const std::string text = KATA_TRY(sys::ReadToEnd(pipe.read.get(), kMaxVersionText));
  for (size_t at = text.find_first_of("0123456789"); at != text.npos;
       at = text.find_first_of("0123456789", at + 1)) {
    const size_t end = std::min(text.find_first_not_of("0123456789.", at), text.size());
    std::string version = text.substr(at, end - at);
    while (version.ends_with('.')) version.pop_back();
    if (version.find('.') != version.npos) return version;
    at = end - 1;
  }
  return Fail(Code::kUnknown, fmt::format("\"{} --version\" prints no version", program));
}

int MajorVersion(const std::string& version) {
  int major = 0;
  std::from_chars(version.data(), version.data() + version.size(), major);
  return major;
}

std::optional<std::string> GuestKernelRelease(const std::string& path) {
  constexpr std::string_view kMark = "Linux version ";
  const Mapping file(path);
  std::string_view rest = file.view();
  while (!rest.empty()) {
    const void* found = ::memmem(rest.data(), rest.size(), kMark.data(), kMark.size());
    if (found == nullptr) return std::nullopt;
    rest.remove_prefix(static_cast<const char*>(found) - rest.data() + kMark.size());
    const size_t end = rest.find_first_of(std::string_view(" \n\0", 3));
    // The same words also stand in format strings.
    if (!rest.empty() && rest[0] >= '1' && rest[0] <= '9' && end < 64) {
      return std::string(rest.substr(0, end));
    }
  }
  return std::nullopt;
}

}  // namespace kata::cli
