// SPDX-License-Identifier: Apache-2.0
//
// A daemon for start_test.cc, linked with the real main.cc: answers every connection with what it
// sees of itself, one fact a line, until a caller sends "q".
#include <sys/socket.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "host/shim/daemon.h"
#include "host/shim/layers_action.h"
#include "host/shim/template_action.h"
#include "host/shim/warm_action.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace kata::shim {
namespace {

std::string LinkTarget(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  return n > 0 ? std::string(target, static_cast<size_t>(n)) : "";
}

std::string Facts(const DaemonArgs& args) {
  std::string facts = fmt::format("pid={}\nsid={}\ncwd={}\n", ::getpid(), ::getsid(0),
                                  LinkTarget("/proc/self/cwd"));
  for (int fd = 0; fd < 64; ++fd) {
    const std::string target = LinkTarget(fmt::format("/proc/self/fd/{}", fd));
    if (!target.empty()) facts += fmt::format("fd{}={}\n", fd, target.substr(0, 9));
  }
  facts += fmt::format("namespace={}\nid={}\naddress={}\nttrpc={}\nbinary={}\nbundle={}\n",
                       args.namespace_name, args.id, args.containerd_address, args.ttrpc_address,
                       args.publish_binary, args.bundle);
  facts += fmt::format("socket={}\ndebug={}\n", args.socket_path, args.debug);
  facts += "comm=" + sys::ReadFile("/proc/self/comm").value_or("\n");
  facts += "oom=" + sys::ReadFile("/proc/self/oom_score_adj").value_or("\n");
  return facts;
}

}  // namespace

int RunDaemon(const DaemonArgs& args) {
  ::alarm(60);  // a test that died leaves nothing behind
  const std::string facts = Facts(args);
  for (;;) {
    const sys::UniqueFd caller(::accept4(args.listen_fd, nullptr, nullptr, SOCK_CLOEXEC));
    if (!caller) return 1;
    (void)sys::WriteAll(caller.get(), facts);
    char word = 0;
    if (::read(caller.get(), &word, 1) == 1 && word == 'q') return 0;
  }
}

int RunTemplate(const std::string&) { return 1; }

int RunLayers(const std::string&) { return 1; }

int RunWarm(const CommandLine&, std::span<const char* const>) { return 1; }

}  // namespace kata::shim
