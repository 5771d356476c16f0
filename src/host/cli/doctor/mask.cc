// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/mask.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <set>

#include <arpa/inet.h>
#include <fmt/format.h>

#include "sys/files.h"

namespace kata::cli::doctor {
namespace {

constexpr uid_t kFirstPerson = 1000;
constexpr uid_t kLastPerson = 60000;
// Of a name that is shorter, too much of a text would be taken.
constexpr size_t kShortestName = 3;

// A key with one of these in its name has a secret for its value.
constexpr std::array<std::string_view, 14> kSecretKeys = {
    "password", "passwd",  "passphrase",  "secret",      "token", "credential", "apikey",
    "api_key",  "api-key", "private_key", "private-key", "auth",  "cookie",     "bearer"};

// Words that begin so are tokens, whatever stands in front of them.
constexpr std::array<std::string_view, 12> kTokenBeginnings = {
    "ghp_",  "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-",
    "xoxp-", "AKIA", "ASIA", "dckr_pat_",   "eyJ",    "sk-"};
constexpr size_t kShortestToken = 16;

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsTokenChar(char c) { return IsWord(c) || c == '-' || c == '.' || c == '/' || c == '+'; }
bool IsHex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

// PEM blocks, whole lines from BEGIN to END. Certificates name people and hosts, so they go, too.
std::string MaskBlocks(std::string_view text) {
  std::string out;
  for (;;) {
    const size_t begin = text.find("-----BEGIN ");
    if (begin == std::string_view::npos) return out.append(text);
    out.append(text.substr(0, begin)).append("<secret>");
    const size_t end = text.find("-----END ", begin);
    // A block without an end is one that was cut off.
    if (end == std::string_view::npos) return out;
    const size_t dashes = text.find("-----", end + 9);
    if (dashes == std::string_view::npos) return out;
    text.remove_prefix(dashes + 5);
  }
}

// "scheme://user:password@host": what stands in front of the "@".
std::string MaskAddressCredentials(std::string_view text) {
  std::string out;
  for (;;) {
    const size_t begin = text.find("://");
    if (begin == std::string_view::npos) return out.append(text);
    const size_t from = begin + 3;
    const size_t end = std::min(text.find_first_of(" \t\r\n\"'<>/?#,", from), text.size());
    const std::string_view authority = text.substr(from, end - from);
    const size_t at = authority.rfind('@');
    out.append(text.substr(0, from));
    if (at == std::string_view::npos) {
      out.append(authority);
    } else {
      out.append("<secret>").append(authority.substr(at));
    }
    text.remove_prefix(end);
  }
}

bool IsSecretKey(std::string_view key) {
  const std::string lower = Lower(key);
  // Not these: numbers and paths of ours that have such a word in their names.
  if (lower == "auth_sock" || lower.find("author") != std::string::npos) {
    return lower.find("authorization") != std::string::npos;
  }
  return std::ranges::any_of(kSecretKeys,
                             [&](auto word) { return lower.find(word) != std::string::npos; });
}

// Where the value that begins at `from` ends: a quoted one at its quote, an "Authorization:" at the
// end of the line, another at a space or comma.
size_t EndOfValue(std::string_view text, size_t from, bool to_line_end) {
  if (from < text.size() && (text[from] == '"' || text[from] == '\'')) {
    const char quote = text[from];
    for (size_t i = from + 1; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == quote || text[i] == '\n') {
        return i;
      }
    }
    return text.size();
  }
  const char* ends = to_line_end ? "\r\n\"" : " \t\r\n,;&\"'}])";
  return std::min(text.find_first_of(ends, from), text.size());
}

// NAME=value, "name": "value", name: value, --name value, where the name is that of a secret.
std::string MaskSecretKeys(std::string_view text) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    if (!IsWord(text[i])) {
      out += text[i++];
      continue;
    }
    size_t end = i;
    while (end < text.size() && (IsWord(text[end]) || text[end] == '-' || text[end] == '.')) ++end;
    const std::string_view key = text.substr(i, end - i);
    out.append(key);
    const bool is_option = i >= 2 && text.substr(i - 2, 2) == "--";
    i = end;
    if (!IsSecretKey(key)) continue;
    size_t value = end;
    if (value < text.size() && (text[value] == '"' || text[value] == '\'')) ++value;
    while (value < text.size() && (text[value] == ' ' || text[value] == '\t')) ++value;
    const bool assigned = value < text.size() && (text[value] == '=' || text[value] == ':');
    if (!assigned && !(is_option && value > end)) continue;
    if (assigned) ++value;
    while (value < text.size() && (text[value] == ' ' || text[value] == '\t')) ++value;
    const bool quoted = value < text.size() && (text[value] == '"' || text[value] == '\'');
    // An object or a list: its members are looked at by their own names.
    if (value < text.size() && (text[value] == '{' || text[value] == '[')) continue;
    const bool to_line_end = text.substr(end, 1) == ":" && !quoted;
    const size_t stop = EndOfValue(text, value, to_line_end);
    if (stop <= value + (quoted ? 1 : 0)) continue;
    out.append(text.substr(end, value - end)).append(quoted ? "\"<secret>" : "<secret>");
    i = stop;
  }
  return out;
}

bool IsUuid(std::string_view word) {
  if (word.size() == 32) return std::ranges::all_of(word, IsHex);
  if (word.size() != 36) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? word[i] != '-' : !IsHex(word[i])) return false;
  }
  return true;
}

bool IsMac(std::string_view word) {
  if (word.size() != 17) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    if (i % 3 == 2 ? word[i] != ':' : !IsHex(word[i])) return false;
  }
  return true;
}

bool IsPrivateAddress(const std::string& word) {
  in_addr v4{};
  if (::inet_pton(AF_INET, word.c_str(), &v4) == 1) {
    const uint32_t host = ntohl(v4.s_addr);
    // Versions of programs have four numbers, too, with nothing in front: 0.x.y.z is no address.
    return (host >> 24) != 0 && (host >> 24) != 127 && (host >> 8) != 0xc00002;
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, word.c_str(), &v6) != 1) return false;
  return !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_UNSPECIFIED(&v6);
}

bool IsToken(std::string_view word) {
  return word.size() >= kShortestToken &&
         std::ranges::any_of(kTokenBeginnings, [&](auto b) { return word.starts_with(b); });
}

// Words by what they look like.
std::string MaskWords(std::string_view text) {
  const auto belongs = [](char c) { return IsTokenChar(c) || c == ':'; };
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (!belongs(text[i])) {
      out += text[i++];
      continue;
    }
    size_t end = i;
    while (end < text.size() && belongs(text[end])) ++end;
    std::string_view word = text.substr(i, end - i);
    i = end;
    // What a sentence or a path puts around a word is no part of it; "host:port" and "a/24" have
    // theirs behind it.
    const auto flush = [&](std::string_view part) {
      if (IsUuid(part)) {
        out += "<id>";
      } else if (IsMac(part)) {
        out += "<mac>";
      } else if (IsPrivateAddress(std::string(part))) {
        out += "<address>";
      } else if (IsToken(part)) {
        out += "<secret>";
      } else {
        return false;
      }
      return true;
    };
    while (!word.empty()) {
      const size_t slash = std::min(word.find('/'), word.size());
      std::string_view part = word.substr(0, slash);
      std::string_view tail;
      while (part.size() > 1 && (part.back() == '.' || part.back() == ':')) {
        tail = word.substr(part.size() - 1, slash - part.size() + 1);
        part.remove_suffix(1);
      }
      const size_t colon = part.find(':');
      const bool one_colon = colon != std::string_view::npos && part.rfind(':') == colon;
      if (one_colon) {
        if (!flush(part.substr(0, colon))) out.append(part.substr(0, colon));
        out += ':';
        if (!flush(part.substr(colon + 1))) out.append(part.substr(colon + 1));
      } else if (!flush(part)) {
        out.append(part);
      }
      out.append(tail);
      word.remove_prefix(slash);
      while (!word.empty() && word.front() == '/') {
        out += '/';
        word.remove_prefix(1);
      }
    }
  }
  return out;
}

// Where it stands as a word of its own, whatever the case of its letters.
std::string MaskName(std::string_view text, const std::string& name, std::string_view with) {
  if (name.size() < kShortestName) return std::string(text);
  const std::string lower_text = Lower(text);
  const std::string lower_name = Lower(name);
  std::string out;
  size_t from = 0;
  for (;;) {
    const size_t at = lower_text.find(lower_name, from);
    if (at == std::string::npos) return out.append(text.substr(from));
    const size_t end = at + name.size();
    const bool whole =
        (at == 0 || !IsWord(text[at - 1])) && (end == text.size() || !IsWord(text[end]));
    out.append(text.substr(from, at - from));
    out.append(whole ? with : text.substr(at, name.size()));
    from = end;
  }
}

void AddDomains(std::vector<std::string>* hosts) {
  const auto resolver = sys::ReadFile("/etc/resolv.conf", 64 << 10);
  if (!resolver) return;
  for (size_t begin = 0; begin < resolver->size();) {
    const size_t end = std::min(resolver->find('\n', begin), resolver->size());
    std::string_view line = std::string_view(*resolver).substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("search ") && !line.starts_with("domain ")) continue;
    line.remove_prefix(7);
    while (!line.empty()) {
      const size_t space = std::min(line.find_first_of(" \t"), line.size());
      // A name with a dot: "local" alone is in every other sentence.
      if (line.substr(0, space).contains('.')) hosts->emplace_back(line.substr(0, space));
      line.remove_prefix(std::min(space + 1, line.size()));
    }
  }
}

}  // namespace

Names NamesOfThisHost() {
  Names names;
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0 && host[0] != '\0') {
    const std::string whole = host;
    names.hosts.push_back(whole);
    if (const size_t dot = whole.find('.'); dot != std::string::npos) {
      names.hosts.push_back(whole.substr(0, dot));
    }
  }
  AddDomains(&names.hosts);
  std::set<std::string> users;
  for (const char* variable : {"SUDO_USER", "USER", "LOGNAME"}) {
    if (const char* user = std::getenv(variable)) users.insert(user);
  }
  // The file alone: a directory service may take its time, or have a hundred thousand.
  const auto accounts = sys::ReadFile("/etc/passwd", 4 << 20).value_or("");
  for (size_t begin = 0; begin < accounts.size();) {
    const size_t end = std::min(accounts.find('\n', begin), accounts.size());
    const std::string line = accounts.substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto uid = static_cast<uid_t>(std::strtoul(line.c_str() + second + 1, nullptr, 10));
    if (uid >= kFirstPerson && uid < kLastPerson) users.insert(line.substr(0, first));
  }
  users.erase("root");
  names.users.assign(users.begin(), users.end());
  // "host.domain" before "host".
  std::ranges::sort(names.hosts, [](const auto& a, const auto& b) { return a.size() > b.size(); });
  return names;
}

std::string Mask(std::string_view text, const Names& names) {
  std::string masked = MaskBlocks(text);
  masked = MaskAddressCredentials(masked);
  masked = MaskSecretKeys(masked);
  masked = MaskWords(masked);
  for (const std::string& host : names.hosts) masked = MaskName(masked, host, "<host>");
  for (const std::string& user : names.users) masked = MaskName(masked, user, "<user>");
  return masked;
}

}  // namespace kata::cli::doctor
