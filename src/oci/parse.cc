// SPDX-License-Identifier: Apache-2.0
#include "oci/parse.h"

#include <optional>
#include <utility>

#include "oci/json_node.h"
#include "oci/readers.h"
#include "sys/files.h"

namespace kata::oci {
namespace {

template <class Message>
Result<Parsed<Message>> Parse(std::string_view json, std::string_view name,
                              void (*read)(const Node&, Message*)) {
  Document document = KATA_TRY(Document::Parse(json, name));
  Parsed<Message> parsed;
  const Node root = document.Root();
  if (root.RequireObject()) read(root, &parsed.value);
  if (std::optional<Error> error = document.TakeError()) return std::unexpected(*std::move(error));
  parsed.unsupported = document.TakeUnsupported();
  return parsed;
}

}  // namespace

Result<Parsed<Spec>> ParseSpec(std::string_view json, std::string_view name) {
  return Parse<Spec>(json, name, ReadSpec);
}

Result<Parsed<Process>> ParseProcess(std::string_view json, std::string_view name) {
  return Parse<Process>(json, name, ReadProcess);
}

Result<Parsed<LinuxResources>> ParseResources(std::string_view json, std::string_view name) {
  return Parse<LinuxResources>(json, name, ReadResources);
}

Result<Parsed<Spec>> LoadBundle(const std::string& bundle) {
  const std::string path = bundle + "/config.json";
  const std::string json = KATA_TRY(sys::ReadFile(path, kMaxJsonBytes));
  return ParseSpec(json, path);
}

}  // namespace kata::oci
