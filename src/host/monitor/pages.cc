// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/pages.h"

#include <string>

#include <nlohmann/json.hpp>

#include "metrics/text.h"

namespace kata::monitor {
namespace {

using nlohmann::ordered_json;

constexpr const char* kIndex =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>kata-monitor</title>"
    "</head><body><h1>kata-monitor</h1><ul>\n"
    "<li><a href=\"/metrics\">/metrics</a>: figures of all sandboxes; <code>?sandbox=ID</code>: of "
    "one</li>\n"
    "<li><a href=\"/sandboxes\">/sandboxes</a>: their ids; <code>?format=json</code>: with "
    "containers and shims</li>\n"
    "<li><a href=\"/healthz\">/healthz</a>: whether this program serves</li>\n"
    "</ul></body></html>\n";

int StatusOf(const Error& error) {
  switch (error.code()) {
    case Code::kNotFound:
      return 404;
    case Code::kDeadlineExceeded:
      return 504;
    default:
      return 503;
  }
}

HttpResponse AnswerMetrics(Monitor& monitor, const HttpRequest& request) {
  const std::string sandbox = request.Query("sandbox");
  auto text = sandbox.empty() ? monitor.AllMetrics() : monitor.MetricsOf(sandbox);
  if (!text) return {.status = StatusOf(text.error()), .body = text.error().message() + "\n"};
  return {.type = metrics::kTextType, .body = *std::move(text)};
}

int ShimOf(const sandbox::SandboxRecord& record) {
  for (const sandbox::ProcessEntry& process : record.processes) {
    if (process.role == sandbox::ProcessRole::kShim) return process.pid;
  }
  return 0;
}

HttpResponse AnswerSandboxes(const Monitor& monitor, const HttpRequest& request) {
  const auto sandboxes = monitor.Sandboxes();
  const std::string format = request.Query("format");
  const bool json =
      format.empty() ? request.accept.starts_with("application/json") : format == "json";
  if (!json) {
    std::string text;
    for (const auto& each : sandboxes) text += each.id + "\n";
    return {.body = text};
  }
  ordered_json array = ordered_json::array();
  for (const auto& each : sandboxes) {
    array.push_back({{"id", each.id},
                     {"containers", each.containers},
                     {"shim", ShimOf(each)},
                     {"socket", each.owner}});
  }
  return {.type = "application/json",
          .body = array.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n"};
}

}  // namespace

HttpResponse AnswerPage(Monitor& monitor, const HttpRequest& request) {
  if (request.path == "/metrics") return AnswerMetrics(monitor, request);
  if (request.path == "/sandboxes") return AnswerSandboxes(monitor, request);
  if (request.path == "/healthz") return {.body = "ok\n"};
  if (request.path == "/") return {.type = "text/html; charset=utf-8", .body = kIndex};
  return {.status = 404, .body = "there is no such page; / lists those that there are\n"};
}

}  // namespace kata::monitor
