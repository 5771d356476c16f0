// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime iptables: the packet filter of a sandbox's containers, inside the guest.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "host/cli/oci/command.h"
#include "host/cli/oci/sandbox_lookup.h"
#include "host/cli/oci/shim.h"
#include "proto/agent.pb.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

constexpr size_t kMostRules = 3 << 20;

constexpr std::array kFlags = {
    Flag{"v6", '\0', false, "ip6tables"},
    Flag{"sandbox-id", '\0', true, "the sandbox, instead of the word CONTAINER", "CONTAINER"},
};

// FILE or, where it is "-", standard input.
Result<std::string> ReadRules(const std::string& file) {
  const std::string path = file == "-" ? "/dev/stdin" : file;
  return sys::ReadFile(path, kMostRules);
}

// What a guest says may hold anything, and a terminal would obey it.
std::string Shown(std::string text) {
  constexpr char kDelete = 0x7f;
  for (char& c : text) {
    const bool control = (c >= 0 && c < ' ' && c != '\n' && c != '\t') || c == kDelete;
    if (control) c = '?';
  }
  return text;
}

struct Line {
  bool set = false;
  std::string id;
  std::string file = "-";
};

Result<Line> ReadLine(const Arguments& arguments) {
  std::vector<std::string> words = arguments.words();
  const std::string verb = words.front();
  words.erase(words.begin());
  Line line{.set = verb == "set", .id = arguments.Get("sandbox-id")};
  if (verb != "get" && verb != "set") {
    return Fail(Code::kInvalidArgument,
                fmt::format("iptables: \"{}\" is neither get nor set", verb));
  }
  if (line.id.empty() && !words.empty()) {
    line.id = words.front();
    words.erase(words.begin());
  }
  if (line.set && !words.empty()) {
    line.file = words.front();
    words.erase(words.begin());
  }
  if (line.id.empty()) return Fail(Code::kInvalidArgument, "iptables: which container?");
  if (!words.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("iptables: \"{}\" is too much", words.front()));
  }
  return line;
}

Result<int> RunIpTables(const Globals&, const Arguments& arguments) {
  const Line line = KATA_TRY(ReadLine(arguments));
  const sandbox::SandboxRecord record = KATA_TRY(FindRecord(line.id));
  const auto shim = KATA_TRY(Shim::Connect(record.owner));
  if (!line.set) {
    agent::GetIPTablesRequest request;
    request.set_is_ipv6(arguments.On("v6"));
    const auto response =
        KATA_TRY(shim->CallSandbox<agent::GetIPTablesResponse>("GetIPTables", request));
    KATA_TRY(Print(Shown(response.data())));
    return 0;
  }
  agent::SetIPTablesRequest request;
  request.set_is_ipv6(arguments.On("v6"));
  request.set_data(KATA_TRY(ReadRules(line.file)));
  KATA_TRY(shim->CallSandbox<agent::SetIPTablesResponse>("SetIPTables", request));
  return 0;
}

}  // namespace

const Command kIpTables{.name = "iptables",
                        .words = "get|set CONTAINER [FILE]",
                        .summary = "the packet filter of a sandbox, as iptables-save has it",
                        .examples =
                            "  kata-runtime iptables get web           the rules\n"
                            "  kata-runtime iptables set web rules.v4  replace them by a file's\n",
                        .flags = kFlags,
                        .min_words = 1,
                        .max_words = 3,
                        .run = RunIpTables};

}  // namespace kata::cli::oci
