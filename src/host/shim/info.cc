// SPDX-License-Identifier: Apache-2.0
#include "host/shim/info.h"

#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "base/version.h"
#include "oci/features.h"
#include "sys/fd.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxOptions = 4 << 20;

// What containerd need not mount before, whatever the configuration (host/storage/image_mounts.h):
// since 2.2 it asks, once for all containers. It still makes new file systems (mkfs/ext4).
constexpr char kMountTypes[] = "containerd.io/runtime-allow-mounts";
constexpr char kTakenMountTypes[] = "erofs,format/mkdir/overlay,format/bind";

constexpr char kFeaturesType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

}  // namespace

Result<RuntimeInfo> MakeRuntimeInfo(const std::string& options) {
  RuntimeInfo info;
  info.set_name(kRuntimeName);
  info.mutable_version()->set_version(kVersion);
  info.mutable_version()->set_revision(kRevision);
  if (!options.empty() && !info.mutable_options()->ParseFromString(options)) {
    return Fail(Code::kInvalidArgument, "stdin: not a marshalled google.protobuf.Any");
  }
  (*info.mutable_annotations())[kMountTypes] = kTakenMountTypes;
  info.mutable_features()->set_type_url(kFeaturesType);
  info.mutable_features()->set_value(oci::FormatFeatures({}, -1));
  return info;
}

int RunInfo() {
  const auto info = []() -> Result<RuntimeInfo> {
    std::string options;
    if (!::isatty(STDIN_FILENO)) options = KATA_TRY(sys::ReadToEnd(STDIN_FILENO, kMaxOptions));
    return MakeRuntimeInfo(options);
  }();
  if (!info) {
    (void)sys::WriteAll(
        STDERR_FILENO, fmt::format("containerd-shim-kata-v2: -info: {}\n", info.error().message()));
    return 1;
  }
  return sys::WriteAll(STDOUT_FILENO, info->SerializeAsString()) ? 0 : 1;
}

std::string VersionText(std::string_view program) {
  return fmt::format("{}:\n  Version:  {}\n  Revision: {}\n\n", program, kVersion, kRevision);
}

int RunVersion(std::string_view program) {
  return sys::WriteAll(STDOUT_FILENO, VersionText(program)) ? 0 : 1;
}

}  // namespace kata::shim
