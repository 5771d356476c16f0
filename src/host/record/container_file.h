// SPDX-License-Identifier: Apache-2.0
//
// host/record/container_file.h - what is kept of one container for those who ask later: files
// beside the record of its sandbox, <container id>.<kind>.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "host/record/record.h"

namespace kata::sandbox {

Result<void> SaveContainerFile(const std::string& sandbox_id, const std::string& container_id,
                               std::string_view kind, std::string_view content,
                               const std::string& root = kRecordsRoot);
// Success also where there is none.
Result<void> RemoveContainerFile(const std::string& sandbox_id, const std::string& container_id,
                                 std::string_view kind, const std::string& root = kRecordsRoot);
// Of a container of this sandbox.
// Errors  kNotFound  there is none
Result<std::string> LoadContainerFileIn(const std::string& sandbox_id,
                                        const std::string& container_id, std::string_view kind,
                                        const std::string& root = kRecordsRoot);
// Of the container of that id in whichever sandbox.
// Errors  kNotFound  there is none
Result<std::string> LoadContainerFile(const std::string& container_id, std::string_view kind,
                                      const std::string& root = kRecordsRoot);

}  // namespace kata::sandbox
