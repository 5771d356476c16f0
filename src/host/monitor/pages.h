// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/pages.h - what kata-monitor answers at which path.
//
//   /metrics             all sandboxes', kata-monitor's and kata-factory's figures
//   /metrics?sandbox=ID  one sandbox's, as its shim tells them
//   /sandboxes           ids, one a line; with ?format=json or "Accept: application/json" an array
//                        [{"id":"ab12","containers":["ab12"],"shim":77,"socket":"/run/..."}]
//   /healthz             "ok"
//   /                    a page with links
#pragma once

#include "host/monitor/http_request.h"
#include "host/monitor/monitor.h"

namespace kata::monitor {

HttpResponse AnswerPage(Monitor& monitor, const HttpRequest& request);

}  // namespace kata::monitor
