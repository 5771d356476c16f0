// SPDX-License-Identifier: Apache-2.0
//
// host/record/root_report.h - what a container's root file system is made of, in words, kept for
// those who ask later: "layers (5 images), upper shared", "shared", "disk".
#pragma once

#include <string>

#include "base/result.h"
#include "host/record/record.h"

namespace kata::sandbox {

Result<void> SaveRootReport(const std::string& sandbox_id, const std::string& container_id,
                            const std::string& words, const std::string& root = kRecordsRoot);
// Success also where there is none.
Result<void> RemoveRootReport(const std::string& sandbox_id, const std::string& container_id,
                              const std::string& root = kRecordsRoot);
// Of the container of that id in whichever sandbox.
// Errors  kNotFound  no such container is there
Result<std::string> LoadRootReport(const std::string& container_id,
                                   const std::string& root = kRecordsRoot);

}  // namespace kata::sandbox
