// SPDX-License-Identifier: Apache-2.0
#include "host/record/container_file.h"

#include <glob.h>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::sandbox {
namespace {

constexpr size_t kMaxFile = 64 << 10;

// Ids have no characters that mean something to glob(3).
std::string FileName(const std::string& directory, const std::string& container_id,
                     std::string_view kind) {
  return fmt::format("{}/{}.{}", directory, container_id, kind);
}

}  // namespace

Result<void> SaveContainerFile(const std::string& sandbox_id, const std::string& container_id,
                               std::string_view kind, std::string_view content,
                               const std::string& root) {
  return sys::WriteFile(FileName(RecordDir(sandbox_id, root), container_id, kind), content, 0600);
}

Result<void> RemoveContainerFile(const std::string& sandbox_id, const std::string& container_id,
                                 std::string_view kind, const std::string& root) {
  return sys::RemoveFile(FileName(RecordDir(sandbox_id, root), container_id, kind));
}

Result<std::string> LoadContainerFileIn(const std::string& sandbox_id,
                                        const std::string& container_id, std::string_view kind,
                                        const std::string& root) {
  return sys::ReadFile(FileName(RecordDir(sandbox_id, root), container_id, kind), kMaxFile);
}

Result<std::string> LoadContainerFile(const std::string& container_id, std::string_view kind,
                                      const std::string& root) {
  glob_t found{};
  const int failed = ::glob(FileName(root + "/*", container_id, kind).c_str(), 0, nullptr, &found);
  const std::string path = failed == 0 && found.gl_pathc > 0 ? found.gl_pathv[0] : "";
  ::globfree(&found);
  if (path.empty()) {
    return Fail(Code::kNotFound, fmt::format("no container \"{}\" is known", container_id));
  }
  return sys::ReadFile(path, kMaxFile);
}

}  // namespace kata::sandbox
