// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/container/sysctls.h"

#include <algorithm>

#include <fmt/format.h>

#include "sys/files.h"

namespace kata::guest {

Result<void> SetSysctl(const std::string& name, const std::string& value) {
  std::string path = name;
  if (path.find('/') == std::string::npos) std::replace(path.begin(), path.end(), '.', '/');
  if (path.find("..") != std::string::npos || path.starts_with('/')) {
    return Fail(Code::kInvalidArgument, fmt::format("sysctl \"{}\" is not a name", name));
  }
  KATA_TRY_WITHIN(fmt::format("sysctl \"{}\"", name),
                  sys::WriteControl("/proc/sys/" + path, value));
  return {};
}

}  // namespace kata::guest
