// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/boot_id.h"

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
constexpr char kFile[] = "/run/kata-containers/boot_id";
constexpr char kKernels[] = "/proc/sys/kernel/random/boot_id";

bool IsUuid(const std::string& text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  constexpr std::string_view kDigits = "0123456789abcdef";
  return std::ranges::equal(text, kForm, [&](char c, char form) {
    return form == '-' ? c == '-' : kDigits.find(c) != kDigits.npos;
  });
}

// A mount namespace, and what is to be mounted in it: that cannot be made from within.
struct View {
  sys::UniqueFd mount_namespace;
  sys::UniqueFd file;
};

bool SameFile(int one, int other) {
  struct stat first{};
  struct stat second{};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Result<void> ShowIn(const View& view) {
  if (::setns(view.mount_namespace.get(), CLONE_NEWNS) != 0) {
    return FailErrno("join the mount namespace");
  }
  const auto target = sys::Open(kKernels, O_PATH);
  if (!target && target.error().code() == Code::kNotFound) return {};
  if (!target) return std::unexpected(target.error());
  // In a copy of a copy.
  if (SameFile(target->get(), view.file.get())) return {};
  return sys::AttachMount(view.file.get(), target->get());
}

// In a process of its own, which never comes back from the last of the namespaces.
Result<void> ShowInAll(const std::vector<pid_t>& pids) {
  std::vector<View> views;
  for (const pid_t pid : pids) {
    View view{.mount_namespace = KATA_TRY(sys::Open(fmt::format("/proc/{}/ns/mnt", pid), O_RDONLY)),
              .file = KATA_TRY(sys::CloneMount(AT_FDCWD, kFile, false))};
    KATA_TRY(sys::SetMountReadOnly(view.file.get()));
    views.push_back(std::move(view));
  }
  for (const View& view : views) KATA_TRY(ShowIn(view));
  return {};
}

}  // namespace

void ShowBootId(sys::EventLoop& loop, const ContainerTable& containers, const std::string& boot_id,
                std::move_only_function<void(Result<void>)> done) {
  if (!IsUuid(boot_id)) return done(Fail(Code::kInvalidArgument, "the boot id is no UUID"));
  constexpr mode_t kMode = 0444;
  if (auto written = sys::WriteFile(kFile, boot_id + "\n", kMode); !written) {
    return done(std::move(written));
  }
  std::vector<pid_t> pids;
  for (const auto& [id, entry] : containers.entries()) {
    if (entry->init && !entry->init->exited()) pids.push_back(entry->init->pid());
  }
  const auto finish =
      std::make_shared<std::move_only_function<void(Result<void>)>>(std::move(done));
  const auto begun = RunInChild(
      loop,
      [&pids]() -> Result<std::string> {
        KATA_TRY_WITHIN("boot id", ShowInAll(pids));
        return std::string();
      },
      [finish](const Result<std::string>& shown) {
        if (!shown) return (*finish)(std::unexpected(shown.error()));
        (*finish)({});
      });
  if (!begun) (*finish)(begun);
}

}  // namespace kata::guest
