// SPDX-License-Identifier: Apache-2.0
#include "oci/runtime_error.h"

#include <string>
#include <utility>

#include <fmt/format.h>

namespace kata::oci {
namespace {

std::string_view WordsOf(Step step) {
  switch (step) {
    case Step::kCreate:
      return "OCI runtime create failed: runc create failed: ";
    case Step::kStart:
      return "OCI runtime start failed: ";
    case Step::kExec:
      return "OCI runtime exec failed: exec failed: ";
  }
  return "";
}

}  // namespace

Error AsShimError(Step step, Error reason) {
  std::string message(WordsOf(step));
  if (step != Step::kStart) message += fmt::format("{}: ", kCannotStart);
  return Error(Code::kUnknown, message + reason.message());
}

Error WithoutShimWords(Step step, Error error) {
  const std::string_view words = WordsOf(step);
  if (!error.message().starts_with(words)) return error;
  return Error(error.code(), error.message().substr(words.size()));
}

}  // namespace kata::oci
