// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/exec_process.h - the process that `exec` is to start, as JSON of the runtime-spec.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "host/cli/oci/flags.h"

namespace kata::cli::oci {

struct ExecProcess {
  std::string json;
  bool terminal = false;
  uint32_t rows = 0;  // 0: not said
  uint32_t columns = 0;
  std::vector<std::string> notes;  // what it asks for in vain
};

// Reads the file that --process names, or takes the container's own process (of config.json in
// `state_directory`) with the command and flags of `arguments` in place of its own.
// Errors  kInvalidArgument
Result<ExecProcess> ReadExecProcess(const std::string& state_directory, const Arguments& arguments);

}  // namespace kata::cli::oci
