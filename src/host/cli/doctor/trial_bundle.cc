// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/trial_bundle.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "host/cli/doctor/probe.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::cli::doctor {
namespace {

using BundleJson = nlohmann::ordered_json;

BundleJson TrialSpec(const std::string& shared, const std::string& network) {
  BundleJson namespaces = BundleJson::array();
  for (const char* type : {"pid", "ipc", "uts", "mount"}) namespaces.push_back({{"type", type}});
  namespaces.push_back({{"type", "network"}, {"path", network}});
  return {{"ociVersion", "1.0.2"},
          {"process",
           {{"terminal", false},
            {"user", {{"uid", 0}, {"gid", 0}}},
            {"args", {kProbePath, kProbeWord, "wait"}},
            {"env", {"PATH=/"}},
            {"cwd", "/"},
            {"noNewPrivileges", true}}},
          {"root", {{"path", "rootfs"}, {"readonly", true}}},
          {"hostname", "doctor"},
          {"mounts",
           BundleJson::array({{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
                              {{"destination", kSharedPath},
                               {"type", "bind"},
                               {"source", shared},
                               {"options", {"rbind", "rw"}}}})},
          {"linux", {{"namespaces", namespaces}}}};
}

Result<void> CopyProgram(const std::string& from, const std::string& to) {
  const sys::UniqueFd source = KATA_TRY(sys::Open(from, O_RDONLY));
  const sys::UniqueFd target = KATA_TRY(sys::Open(to, O_WRONLY | O_CREAT | O_EXCL, 0755));
  struct stat status{};
  if (::fstat(source.get(), &status) != 0) return FailErrno("fstat", from);
  for (off_t done = 0; done < status.st_size;) {
    const ssize_t n =
        ::sendfile(target.get(), source.get(), &done, static_cast<size_t>(status.st_size - done));
    if (n < 0) return FailErrno("write", to);
    if (n == 0) return Fail(Code::kDataLoss, from + ": the file became shorter");
  }
  return {};
}

}  // namespace

Result<void> MakeTrialBundle(const std::string& directory, const std::string& probe,
                             const std::string& network) {
  const std::string rootfs = directory + "/rootfs";
  const std::string shared = directory + "/shared";
  KATA_TRY(sys::MakeDirs(directory, 0711));
  KATA_TRY(sys::MakeDirs(shared));
  for (const std::string_view mount_point : {"/proc", kSharedPath, "/dev", "/sys"}) {
    KATA_TRY(sys::MakeDirs(rootfs + std::string(mount_point)));
  }
  KATA_TRY(CopyProgram(probe, rootfs + kProbePath));
  return sys::WriteFile(directory + "/config.json", TrialSpec(shared, network).dump(1), 0600);
}

}  // namespace kata::cli::doctor
