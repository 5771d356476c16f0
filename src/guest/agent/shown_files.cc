// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/shown_files.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "guest/agent/run_in_child.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::guest {
namespace {

// Copies of this guest have it as their own: rewritten, it is what their containers see.
constexpr char kBootId[] = "/run/kata-containers/boot_id";
constexpr char kKernels[] = "/proc/sys/kernel/random/boot_id";

bool IsUuid(const std::string& text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  constexpr std::string_view kDigits = "0123456789abcdef";
  return std::ranges::equal(text, kForm, [&](char c, char form) {
    return form == '-' ? c == '-' : kDigits.find(c) != kDigits.npos;
  });
}

// A mount that cannot be made from within the namespace.
struct Mount {
  sys::UniqueFd file;
  const std::string* path;
};

bool SameFile(int one, int other) {
  struct stat first{};
  struct stat second{};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Result<void> Attach(const Mount& mount) {
  const auto target = sys::Open(*mount.path, O_PATH);
  if (!target && target.error().code() == Code::kNotFound) return {};
  if (!target) return std::unexpected(target.error());
  // In a copy of a copy.
  if (SameFile(target->get(), mount.file.get())) return {};
  return sys::AttachMount(mount.file.get(), target->get());
}

Result<std::vector<Mount>> MakeMounts(const std::vector<ShownFile>& files) {
  std::vector<Mount> mounts;
  for (const ShownFile& shown : files) {
    Mount mount{.file = KATA_TRY(sys::CloneMount(AT_FDCWD, shown.file, false)),
                .path = &shown.path};
    if (shown.read_only) KATA_TRY(sys::SetMountReadOnly(mount.file.get()));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

// In a process of its own, which never comes back from the last of the namespaces.
Result<void> ShowInAll(const std::vector<pid_t>& pids, const std::vector<ShownFile>& files) {
  std::vector<std::pair<sys::UniqueFd, std::vector<Mount>>> views;
  for (const pid_t pid : pids) {
    auto space = KATA_TRY(sys::Open(fmt::format("/proc/{}/ns/mnt", pid), O_RDONLY));
    auto mounts = KATA_TRY(MakeMounts(files));
    views.emplace_back(std::move(space), std::move(mounts));
  }
  for (const auto& [space, mounts] : views) {
    if (::setns(space.get(), CLONE_NEWNS) != 0) return FailErrno("join the mount namespace");
    for (const Mount& mount : mounts) KATA_TRY_WITHIN(*mount.path, Attach(mount));
  }
  return {};
}

}  // namespace

void ShowFiles(sys::EventLoop& loop, const std::vector<pid_t>& pids,
               const std::vector<ShownFile>& files,
               std::move_only_function<void(Result<void>)> done) {
  const auto finish =
      std::make_shared<std::move_only_function<void(Result<void>)>>(std::move(done));
  const auto begun = RunInChild(
      loop,
      [&]() -> Result<std::string> {
        KATA_TRY_WITHIN("show files", ShowInAll(pids, files));
        return std::string();
      },
      [finish](const Result<std::string>& shown) {
        if (!shown) return (*finish)(std::unexpected(shown.error()));
        (*finish)({});
      });
  if (!begun) (*finish)(begun);
}

void ShowBootId(sys::EventLoop& loop, const ContainerTable& containers, const std::string& boot_id,
                std::move_only_function<void(Result<void>)> done) {
  if (!IsUuid(boot_id)) return done(Fail(Code::kInvalidArgument, "the boot id is no UUID"));
  constexpr mode_t kMode = 0444;
  if (auto written = sys::WriteFile(kBootId, boot_id + "\n", kMode); !written) {
    return done(std::move(written));
  }
  std::vector<pid_t> pids;
  for (const auto& [id, entry] : containers.entries()) {
    if (entry->init && !entry->init->exited()) pids.push_back(entry->init->pid());
  }
  ShowFiles(loop, pids, {{.file = kBootId, .path = kKernels}}, std::move(done));
}

}  // namespace kata::guest
