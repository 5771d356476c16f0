// SPDX-License-Identifier: Apache-2.0
//
// What containerd and people hand in as JSON: specifications, processes, resources. Whatever
// parses must also survive validation.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "oci/annotations.h"
#include "oci/parse.h"
#include "oci/validate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  if (const auto spec = kata::oci::ParseSpec(json)) {
    (void)kata::oci::ValidateSpec(spec->value);
    (void)kata::oci::RoleFromAnnotations(spec->value);
  }
  if (const auto process = kata::oci::ParseProcess(json)) {
    (void)kata::oci::ValidateProcess(process->value);
  }
  if (const auto resources = kata::oci::ParseResources(json)) {
    (void)kata::oci::ValidateResources(resources->value);
  }
  return 0;
}
