// SPDX-License-Identifier: Apache-2.0
#include "base/version.h"

namespace kata {

const char kVersion[] = KATA_VERSION;
const char kRevision[] = KATA_REVISION;

}  // namespace kata
