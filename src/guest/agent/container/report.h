// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/container/report.h - the child's side of what ReadReport reads.
//
// One record a message over a close-on-exec SOCK_SEQPACKET pair: 'R' (with the terminal's master as
// ancillary data), or 'E', the canonical code, the errno (4 bytes, native order) and the message.
#pragma once

#include "base/result.h"
#include "sys/fd.h"

namespace kata::guest {

struct ReportPair {
  sys::UniqueFd agent;  // non-blocking
  sys::UniqueFd child;
};
Result<ReportPair> MakeReportPair();

// `terminal` is -1 or the descriptor to hand over.
Result<void> ReportReady(int report_fd, int terminal);
// Messages are cut at 4000 bytes. Ignores that nobody listens.
void ReportFailure(int report_fd, const Error& error);

}  // namespace kata::guest
