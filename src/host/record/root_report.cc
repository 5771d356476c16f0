// SPDX-License-Identifier: Apache-2.0
#include "host/record/root_report.h"

#include "host/record/container_file.h"

namespace kata::sandbox {
namespace {

constexpr const char* kRootFile = "root";

}  // namespace

Result<void> SaveRootReport(const std::string& sandbox_id, const std::string& container_id,
                            const std::string& words, const std::string& root) {
  return SaveContainerFile(sandbox_id, container_id, kRootFile, words, root);
}

Result<void> RemoveRootReport(const std::string& sandbox_id, const std::string& container_id,
                              const std::string& root) {
  return RemoveContainerFile(sandbox_id, container_id, kRootFile, root);
}

Result<std::string> LoadRootReport(const std::string& container_id, const std::string& root) {
  return LoadContainerFile(container_id, kRootFile, root);
}

}  // namespace kata::sandbox
