// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/testing/test_guest.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/process.h"

namespace kata::hypervisor::testing {
namespace {

void AddToArchive(std::string& archive, const std::string& name, uint32_t mode,
                  const std::string& content) {
  archive += fmt::format(
      "070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}"
      "{:08x}{:08x}",
      0, mode, 0, 0, 1, 0, content.size(), 0, 0, 0, 0, name.size() + 1, 0);
  archive += name;
  archive += '\0';
  archive.resize((archive.size() + 3) & ~size_t{3}, '\0');
  archive += content;
  archive.resize((archive.size() + 3) & ~size_t{3}, '\0');
}

std::string Environment(const char* name) {
  const char* value = ::getenv(name);
  return value != nullptr ? value : "";
}

std::string BesideKernel(const std::string& name) {
  const std::string kernel = KernelPath();
  return kernel.substr(0, kernel.rfind('/') + 1) + name;
}

// A value of kernel.info; empty where there is none.
std::string KernelInfo(const std::string& key) {
  const std::string info = "\n" + sys::ReadFile(BesideKernel("kernel.info")).value_or("");
  const std::string start = "\n" + key + ": ";
  const size_t at = info.find(start);
  if (at == std::string::npos) return "";
  const size_t value = at + start.size();
  return info.substr(value, info.find('\n', value) - value);
}

// The part of the agent's initrd that comes behind the agent.
Result<std::string> ModulesBesideKernel() {
  const std::string agent_bytes = KernelInfo("agent_bytes");
  if (agent_bytes.empty()) return std::string();
  const std::string initrd =
      KATA_TRY(sys::ReadFile(BesideKernel("kata-containers-initrd.img"), size_t{128} << 20));
  const size_t modules = std::stoul(agent_bytes);
  if (modules > initrd.size()) return Fail(Code::kDataLoss, "kernel.info is of another initrd");
  return initrd.substr(modules);
}

}  // namespace

std::string KernelPath() {
  const std::string chosen = Environment("KATA_TEST_KERNEL");
  if (!chosen.empty()) return chosen;
  const std::string built = KATA_TEST_KERNEL_DEFAULT;
  return sys::Exists(built) ? built : "";
}

bool KernelLacks(const std::string& what) {
  return (" " + KernelInfo("lacks") + " ").find(" " + what + " ") != std::string::npos;
}

std::vector<std::string> QemuPaths() {
  std::vector<std::string> paths;
  std::string chosen = Environment("KATA_TEST_QEMU");
  while (!chosen.empty()) {
    const size_t end = chosen.find(':');
    paths.push_back(chosen.substr(0, end));
    chosen = end == std::string::npos ? "" : chosen.substr(end + 1);
  }
  if (!paths.empty()) return paths;
  if (auto found = sys::FindExecutable("qemu-system-x86_64")) paths.push_back(*found);
  std::string cache = Environment("KATA_CACHE");
  if (cache.empty()) {
    const std::string base = Environment("XDG_CACHE_HOME");
    cache = (base.empty() ? Environment("HOME") + "/.cache" : base) + "/kata-cpp";
  }
  const std::string fetched = cache + "/debs/bookworm-backports/qemu-10";
  if (sys::Exists(fetched)) paths.push_back(fetched);
  return paths;
}

Result<void> WriteTestInitrd(const std::string& path) {
  std::string archive;
  AddToArchive(archive, "dev", S_IFDIR | 0755, "");
  AddToArchive(archive, "init", S_IFREG | 0755, KATA_TRY(sys::ReadFile(KATA_TEST_GUEST_INIT)));
  AddToArchive(archive, "TRAILER!!!", 0, "");
  archive += KATA_TRY(ModulesBesideKernel());
  return sys::WriteFile(path, archive);
}

TempDir::TempDir() {
  char name[] = "/tmp/kata-test-XXXXXX";
  if (::mkdtemp(name) != nullptr) path_ = name;
}

TempDir::~TempDir() {
  if (!path_.empty()) (void)sys::RemoveTree(path_);
}

LoopThread::LoopThread() : loop_(*sys::EventLoop::Create()) {
  thread_ = std::thread([this] { (void)loop_->Run(); });
}

LoopThread::~LoopThread() {
  loop_->Stop();
  thread_.join();
}

std::string Ask(int agent_fd, const std::string& line, Deadline deadline) {
  if (auto sent = sys::WriteAll(agent_fd, line + "\n"); !sent) return sent.error().message();
  std::string answer;
  for (;;) {
    if (auto ready = sys::WaitFor(agent_fd, POLLIN, deadline); !ready) {
      return ready.error().message();
    }
    char c = 0;
    if (::read(agent_fd, &c, 1) != 1) return "the port has closed";
    if (c == '\n') return answer;
    answer += c;
  }
}

}  // namespace kata::hypervisor::testing
