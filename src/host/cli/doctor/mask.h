// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/mask.h - taking out of a text what belongs to its owner alone.
//
// Rather too much than too little is taken: who reads a support bundle can ask for more.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kata::cli::doctor {

// Names that are replaced wherever they stand as words.
struct Names {
  std::vector<std::string> hosts;  // this one's, with and without its domain
  std::vector<std::string> users;  // people's; not those of the system's services
};

// Of this machine: its host name and domains, the accounts of people, and who became root by sudo.
Names NamesOfThisHost();

// The text with these replaced by words in angle brackets:
//
//   <secret>   values of keys that are named like a secret (password, token, auth, ...), whatever
//              follows "Authorization:", credentials in addresses, keys between BEGIN and END, and
//              words that look like the tokens of known services
//   <host>, <user>   the names given
//   <address>  IPv4 and IPv6 addresses, but for loopback, unspecified and those for examples
//   <mac>      hardware addresses
//   <id>       UUIDs and machine ids: 32 hexadecimal digits
std::string Mask(std::string_view text, const Names& names);

}  // namespace kata::cli::doctor
