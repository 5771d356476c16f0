// SPDX-License-Identifier: Apache-2.0
#include "host/cli/setup/container_check.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::cli::setup {
namespace {

constexpr size_t kMaxImagesTried = 4;
constexpr std::array<std::string_view, 8> kGoodImages = {
    "busybox", "alpine", "debian", "ubuntu", "fedora", "rockylinux", "almalinux", "python"};

size_t RankOfImage(std::string_view image) {
  const std::string_view name = image.substr(image.rfind('/') + 1);
  const auto found = std::find_if(kGoodImages.begin(), kGoodImages.end(),
                                  [&](std::string_view good) { return name.starts_with(good); });
  return static_cast<size_t>(found - kGoodImages.begin());
}

std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

SetupStep CheckStep(SetupStep::Outcome outcome, std::string detail, std::string remedy = "") {
  return {.name = "check",
          .outcome = outcome,
          .detail = std::move(detail),
          .remedy = std::move(remedy)};
}

}  // namespace

std::vector<std::string> ImagesToTry(std::vector<std::string> images) {
  std::erase_if(images, [](const std::string& image) {
    return image.empty() || image.contains("<none>") || image.contains("pause");
  });
  std::stable_sort(images.begin(), images.end(),
                   [](const auto& a, const auto& b) { return RankOfImage(a) < RankOfImage(b); });
  if (images.size() > kMaxImagesTried) images.resize(kMaxImagesTried);
  return images;
}

bool LacksProgram(const ProgramResult& container) {
  return container.status == 127 ||
         (container.status != 0 && container.err.contains("executable file not found"));
}

SetupStep JudgeContainer(const std::string& image, const ProgramResult& container,
                         const std::string& host_boot_id) {
  if (container.status != 0) {
    return CheckStep(SetupStep::Outcome::kFailed,
                     fmt::format("a container of {}: {}", image, container.LastLine()),
                     "kata-runtime check tells what this host lacks");
  }
  const std::string boot_id = FirstLine(container.out);
  const std::string kernel = FirstLine(
      std::string_view(container.out).substr(std::min(boot_id.size() + 1, container.out.size())));
  if (boot_id == host_boot_id) {
    return CheckStep(SetupStep::Outcome::kFailed,
                     fmt::format("a container of {} ran on this host's own kernel: the front end "
                                 "did not use kata",
                                 image),
                     "see its log for the reason");
  }
  // "Linux version 6.12.30 (who@built it) ...": as far as it says something.
  return CheckStep(SetupStep::Outcome::kDone,
                   fmt::format("a container of {} ran in a machine of its own, on {}", image,
                               kernel.substr(0, kernel.find(" ("))));
}

SetupStep CheckByContainer(const std::vector<std::string>& images, bool asked,
                           const std::function<Result<ProgramResult>(const std::string&)>& run) {
  const std::string host_boot_id =
      FirstLine(sys::ReadFile("/proc/sys/kernel/random/boot_id", 64).value_or(""));
  for (const std::string& image : images) {
    const auto container = run(image);
    if (!container) {
      return CheckStep(SetupStep::Outcome::kFailed,
                       fmt::format("a container of {}: {}", image, container.error().message()),
                       "kata-runtime check tells what this host lacks");
    }
    if (asked || !LacksProgram(*container)) return JudgeContainer(image, *container, host_boot_id);
  }
  return CheckStep(SetupStep::Outcome::kSkipped,
                   images.empty() ? "no container was run: there is no image here"
                                  : "no container was run: no image here has the program cat",
                   "run it again with --image busybox, which is pulled");
}

std::string CheckName() { return fmt::format("kata-setup-check-{}", ::getpid()); }

}  // namespace kata::cli::setup
