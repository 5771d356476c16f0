// SPDX-License-Identifier: Apache-2.0
//
// host/monitor/http_request.h - the little of HTTP/1.1 that a page of figures needs: GET and HEAD,
// no bodies, one request a connection.
// Basis: RFC 9112, RFC 3986 section 3.4.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kata::monitor {

// Longer ones are refused.
inline constexpr size_t kMostOfHead = 8 << 10;

struct HttpRequest {
  bool head_only = false;
  std::string path;                          // "/metrics"
  std::map<std::string, std::string> query;  // decoded; of several of one name the first
  std::string accept;                        // the header's value

  std::string Query(const std::string& name) const {
    const auto found = query.find(name);
    return found == query.end() ? "" : found->second;
  }
};

struct HttpResponse {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

// What stands before the empty line, without it.
// Errors  kUnimplemented    another method than GET and HEAD, or a body
//         kInvalidArgument  no such request
Result<HttpRequest> ParseHead(std::string_view head);

// What is sent; a request by HEAD gets no body.
std::string FormatResponse(const HttpResponse& response, bool head_only);

}  // namespace kata::monitor
