// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/cgroup/cgroup_dir.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>

#include <fmt/format.h>

#include "guest/agent/cgroup/cgroup_stats.h"
#include "sys/files.h"

namespace kata::guest {
namespace {

constexpr size_t kMaxControlFile = 8 << 20;
// A container with its own cgroup mount can make as many as it likes.
constexpr size_t kMaxChildren = 8192;

// `visit` gets the path of every cgroup below `path` and then of `path` itself, children first.
Result<void> VisitTree(const std::string& path,
                       const std::function<Result<void>(const std::string&)>& visit,
                       size_t* visited) {
  if (++*visited > kMaxChildren) {
    return Fail(Code::kOutOfRange,
                fmt::format("more than {} cgroups in \"{}\"", kMaxChildren, path));
  }
  std::vector<std::string> children;
  {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
    if (!dir) {
      if (errno == ENOENT) return {};
      return FailErrno("open", path);
    }
    while (const dirent* entry = ::readdir(dir.get())) {
      const std::string_view name = entry->d_name;
      if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
      children.push_back(fmt::format("{}/{}", path, name));
    }
  }
  for (const std::string& child : children) KATA_TRY(VisitTree(child, visit, visited));
  return visit(path);
}

Result<void> VisitTree(const std::string& path,
                       const std::function<Result<void>(const std::string&)>& visit) {
  size_t visited = 0;
  return VisitTree(path, visit, &visited);
}

// Controllers that cannot be offered (a parent with processes, a realtime task) are left out: a
// limit that needs them fails later, by the name of its file.
void OfferControllers(const std::string& cgroup) {
  const auto text = sys::ReadFile(cgroup + "/cgroup.controllers", 4096);
  if (!text) return;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find_first_of(" \n", begin), text->size());
    if (end > begin) {
      (void)sys::WriteControl(cgroup + "/cgroup.subtree_control",
                              '+' + text->substr(begin, end - begin));
    }
    begin = end + 1;
  }
}

Result<uint64_t> ReadFlat(const std::string& path, std::string_view key) {
  return FlatValue(KATA_TRY(sys::ReadFile(path, kMaxControlFile)), key);
}

}  // namespace

Result<CgroupDir> CgroupDir::Create(const std::string& root, const std::string& path) {
  std::string current = root;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    OfferControllers(current);
    current += '/';
    current.append(path, begin, end - begin);
    if (::mkdir(current.c_str(), 0755) != 0 && errno != EEXIST) return FailErrno("mkdir", current);
    begin = end + 1;
  }
  sys::UniqueFd fd = KATA_TRY(sys::Open(current, O_RDONLY | O_DIRECTORY));
  CgroupDir cgroup(root, std::move(current), std::move(fd));
  if (const auto populated = cgroup.Populated(); populated && *populated) {
    return Fail(Code::kAlreadyExists, fmt::format("cgroup \"{}\" has processes", cgroup.path()));
  }
  return cgroup;
}

Result<void> EnterCgroupBelow(const std::string& cgroup, const std::string& name) {
  const std::string below = fmt::format("{}/{}", cgroup, name);
  if (::mkdir(below.c_str(), 0755) != 0 && errno != EEXIST) return FailErrno("mkdir", below);
  KATA_TRY(sys::WriteControl(below + "/cgroup.procs", "0"));
  OfferControllers(cgroup);
  return {};
}

Result<void> CgroupDir::Apply(const std::vector<CgroupWrite>& writes) const {
  for (const CgroupWrite& write : writes) {
    auto written = sys::WriteControl(fmt::format("{}/{}", path_, write.file), write.value);
    if (written) continue;
    // A weight of a disk whose scheduler has none is EOPNOTSUPP.
    const int error = written.error().error_number();
    if (write.optional && (error == ENOENT || error == EOPNOTSUPP)) continue;
    return std::unexpected(std::move(written).error());
  }
  return {};
}

Result<void> CgroupDir::Freeze(bool on) {
  return sys::WriteControl(path_ + "/cgroup.freeze", on ? "1" : "0");
}

Result<bool> CgroupDir::Frozen() const {
  return KATA_TRY(ReadFlat(path_ + "/cgroup.events", "frozen")) != 0;
}

Result<bool> CgroupDir::Populated() const {
  return KATA_TRY(ReadFlat(path_ + "/cgroup.events", "populated")) != 0;
}

Result<void> CgroupDir::Kill() { return sys::WriteControl(path_ + "/cgroup.kill", "1"); }

Result<std::vector<pid_t>> CgroupDir::Pids() const {
  std::vector<pid_t> pids;
  KATA_TRY(VisitTree(path_, [&pids](const std::string& cgroup) -> Result<void> {
    const auto text = sys::ReadFile(cgroup + "/cgroup.procs", kMaxControlFile);
    // A threaded cgroup answers EOPNOTSUPP: its processes show in the domain above.
    if (!text) return {};
    const char* at = text->data();
    const char* const end = at + text->size();
    while (at < end) {
      pid_t pid = 0;
      const auto [stop, status] = std::from_chars(at, end, pid);
      // 0 stands for a process outside of this pid namespace.
      if (status == std::errc() && pid > 0) pids.push_back(pid);
      at = std::find(stop, end, '\n') + 1;
    }
    return {};
  }));
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

Result<uint64_t> CgroupDir::OomKills() const {
  return ReadFlat(path_ + "/memory.events", "oom_kill");
}

Result<int64_t> CgroupDir::CpuQuota() const {
  const std::string text = KATA_TRY(sys::ReadFile(path_ + "/cpu.max", 64));
  int64_t quota = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), quota);
  return status == std::errc() ? quota : -1;
}

Result<uint64_t> CgroupDir::MemoryInUse() const {
  const std::string text = KATA_TRY(sys::ReadFile(path_ + "/memory.current", 64));
  uint64_t bytes = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), bytes);
  return bytes;
}

Result<int64_t> CgroupDir::MemoryLimit() const {
  const std::string text = KATA_TRY(sys::ReadFile(path_ + "/memory.max", 64));
  int64_t bytes = -1;  // "max"
  (void)std::from_chars(text.data(), text.data() + text.size(), bytes);
  return bytes;
}

Result<void> CgroupDir::Remove() {
  if (const auto populated = Populated(); populated && *populated) {
    KATA_TRY(Kill());
    return Fail(Code::kUnavailable, fmt::format("cgroup \"{}\" still has processes", path_));
  }
  KATA_TRY(VisitTree(path_, [](const std::string& cgroup) -> Result<void> {
    if (::rmdir(cgroup.c_str()) == 0 || errno == ENOENT) return {};
    const Error error = Error::FromErrno("rmdir", cgroup);
    if (error.error_number() != EBUSY) return std::unexpected(error);
    return std::unexpected(Error(error).WithCode(Code::kUnavailable));
  }));
  fd_.Reset();
  for (std::string parent = path_;;) {
    parent.resize(parent.rfind('/'));
    if (parent.size() <= root_.size() || ::rmdir(parent.c_str()) != 0) break;
  }
  return {};
}

}  // namespace kata::guest
