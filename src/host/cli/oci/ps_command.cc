// SPDX-License-Identifier: Apache-2.0
#include <pwd.h>
#include <time.h>

#include <array>
#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "host/cli/oci/command.h"
#include "host/cli/oci/process_table.h"
#include "host/cli/oci/shim.h"

namespace kata::cli::oci {
namespace {

constexpr std::array kPsFlags = {
    Flag{"format", 'f', true, "the form of the list", "table|json"},
};

// Files of containers have the host's owners, so the names are the host's too.
std::string NameOf(uint32_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  const bool known =
      ::getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr;
  return known ? entry.pw_name : std::to_string(uid);
}

Result<int> Ps(const Globals& globals, const Arguments& arguments) {
  const State state = KATA_TRY(LoadState(globals.root, arguments.words().front()));
  const std::span options = std::span(arguments.words()).subspan(1);
  const std::string format = arguments.Get("format", "table");
  if (format != "table" && format != "json") {
    return Fail(Code::kInvalidArgument, "invalid format option");
  }
  const auto shim = Shim::Connect(state.shim);
  task::PidsResponse response;
  if (shim) {
    task::PidsRequest request;
    request.set_id(state.id);
    response = KATA_TRY((*shim)->Call<task::PidsResponse>("Pids", request));
  } else if (!ShimIsGone(shim.error())) {
    return std::unexpected(shim.error());
  }
  if (format == "table") {
    const TableContext context{.now = static_cast<uint64_t>(::time(nullptr)), .name_of = NameOf};
    const std::string table = KATA_TRY(ProcessTable(response, options, context));
    KATA_TRY(Print(table));
    return 0;
  }
  // Programs read this and look the numbers up on the host: they are the container's there.
  nlohmann::json pids;
  for (int i = 0; i < response.processes_size(); ++i) pids.push_back(state.pid);
  KATA_TRY(Print(pids.dump() + "\n"));
  return 0;
}

}  // namespace

const Command kPs{
    .name = "ps",
    .words = "CONTAINER [ps options]",
    .summary = "list the processes of a container, as its virtual machine counts them",
    .examples =
        "  kata-runtime ps web                a table\n"
        "  kata-runtime ps --format json web  process ids, for programs\n"
        "  kata-runtime ps web -ef            as ps -ef prints them\n",
    .flags = kPsFlags,
    .max_words = SIZE_MAX,
    .only_leading_flags = true,
    .run = Ps};

}  // namespace kata::cli::oci
