// SPDX-License-Identifier: Apache-2.0
//
// cli/oci/flags.h - words of a command line, as runc reads them.
//
// --name value, --name=value, -n value, -n=value; a flag without a value may be given one of Go's
// booleans behind "=". "--" ends the flags.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::cli::oci {

struct Flag {
  std::string_view name;
  char letter = '\0';
  bool takes_value = false;
  std::string_view help;
  // What stands for the value in help: FILE, DIR and CONTAINER are completed as what they say, and
  // words with "|" between them as these.
  std::string_view value = {};
};

class Arguments {
 public:
  // `only_leading`: the first word that is no flag ends the flags, and all that follows is `words`.
  // Errors  kInvalidArgument  names the flag at fault
  static Result<Arguments> Parse(std::span<const Flag> flags, std::span<const char* const> input,
                                 bool only_leading);

  bool Has(std::string_view name) const { return values_.find(name) != values_.end(); }
  // A flag without a value that was given, and not as "=false".
  bool On(std::string_view name) const { return Get(name) == "true"; }
  // The last value, or `otherwise`.
  std::string Get(std::string_view name, std::string_view otherwise = "") const;
  std::vector<std::string> All(std::string_view name) const;

  const std::vector<std::string>& words() const { return words_; }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> words_;
};

}  // namespace kata::cli::oci
