// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/iptables.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/process.h"

namespace kata::guest {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);
constexpr size_t kMostRules = 3 << 20;
constexpr size_t kMostWords = 2000;

// A file of no name, at its beginning.
Result<sys::UniqueFd> MemoryFile(std::string_view content = {}) {
  sys::UniqueFd fd(::memfd_create("iptables", MFD_CLOEXEC));
  if (!fd) return FailErrno("memfd_create");
  while (!content.empty()) {
    const ssize_t n =
        sys::RetryOnEintr([&] { return ::write(fd.get(), content.data(), content.size()); });
    if (n < 0) return FailErrno("write", "memory file");
    content.remove_prefix(static_cast<size_t>(n));
  }
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return FailErrno("lseek");
  return fd;
}

Result<std::string> ContentOf(const sys::UniqueFd& fd) {
  return sys::ReadFile(fmt::format("/proc/self/fd/{}", fd.get()), kMostRules);
}

struct Done {
  sys::ExitStatus status;
  std::string output;
  std::string words;  // of standard error
};

Result<Done> Run(const IpTables& tables, const char* program, const std::vector<std::string>& flags,
                 std::string_view input) {
  const std::string loader = tables.dir + "/ld.so";
  if (!sys::Exists(loader)) {
    return Fail(Code::kFailedPrecondition, "the guest has not been given its iptables");
  }
  const sys::UniqueFd in = KATA_TRY(MemoryFile(input));
  const sys::UniqueFd out = KATA_TRY(MemoryFile());
  const sys::UniqueFd err = KATA_TRY(MemoryFile());
  sys::Command command;
  command.argv = {loader, "--library-path", tables.dir, tables.dir + "/xtables-nft-multi",
                  fmt::format("{}-{}", tables.ipv6 ? "ip6tables" : "iptables", program)};
  command.argv.insert(command.argv.end(), flags.begin(), flags.end());
  command.env = {"XTABLES_LIBDIR=" + tables.dir, "PATH=/bin:/sbin:/usr/bin:/usr/sbin"};
  command.stdin_fd = in.get();
  command.stdout_fd = out.get();
  command.stderr_fd = err.get();
  if (tables.network_namespace >= 0) command.namespace_fds = {tables.network_namespace};
  auto child = KATA_TRY(sys::ChildProcess::Spawn(command));
  Done done;
  done.status = KATA_TRY_WITHIN("iptables", child.Wait(Deadline::After(kPatience)));
  done.output = KATA_TRY(ContentOf(out));
  done.words = KATA_TRY(ContentOf(err)).substr(0, kMostWords);
  while (done.words.ends_with('\n')) done.words.pop_back();
  return done;
}

Result<void> Check(const Done& done, Code code) {
  if (done.status.Success()) return {};
  return Fail(code, done.words.empty() ? "iptables: " + done.status.Describe() : done.words);
}

// The names of the tables in what iptables-save writes: "*filter".
std::set<std::string, std::less<>> TablesIn(std::string_view rules) {
  std::set<std::string, std::less<>> names;
  while (!rules.empty()) {
    const std::string_view line = rules.substr(0, rules.find('\n'));
    if (line.starts_with('*')) names.emplace(line.substr(1, line.find_first_of(" \t\r") - 1));
    rules.remove_prefix(std::min(line.size() + 1, rules.size()));
  }
  return names;
}

}  // namespace

Result<std::string> IpTables::Save() const {
  Done done = KATA_TRY(Run(*this, "save", {}, {}));
  KATA_TRY(Check(done, Code::kInternal));
  return std::move(done.output);
}

Result<void> IpTables::Restore(const std::string& rules) const {
  if (rules.size() > kMostRules) return Fail(Code::kInvalidArgument, "more than 3 MiB of rules");
  const Done tested = KATA_TRY(Run(*this, "restore", {"--test"}, rules));
  KATA_TRY(Check(tested, Code::kInvalidArgument));
  std::string before = KATA_TRY(Save());
  const Done applied = KATA_TRY(Run(*this, "restore", {}, rules));
  auto restored = Check(applied, Code::kInvalidArgument);
  if (restored) return {};
  // The kernel takes one table after the other, and may have taken some.
  const auto known = TablesIn(before);
  for (const std::string& name : TablesIn(rules)) {
    if (!known.contains(name)) before += fmt::format("*{}\nCOMMIT\n", name);
  }
  const Done back = KATA_TRY(Run(*this, "restore", {}, before));
  KATA_TRY_WITHIN("put the rules back", Check(back, Code::kInternal));
  return restored;
}

}  // namespace kata::guest
