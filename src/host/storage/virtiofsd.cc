// SPDX-License-Identifier: Apache-2.0
#include "host/storage/virtiofsd.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::storage {
namespace {

// What virtiofsd would like to have. Raising the hard limit needs a capability that containers'
// hosts may lack, and virtiofsd gives up when it cannot: it is told what there is.
uint64_t MaxOpenFiles() {
  constexpr uint64_t kWanted = 1'000'000;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return std::min<uint64_t>(limit.rlim_max, kWanted);
}

}  // namespace

Result<std::unique_ptr<Virtiofsd>> Virtiofsd::Start(const VirtiofsdSpec& spec, Deadline deadline) {
  const VirtiofsdFeatures features =
      KATA_TRY_WITHIN("start virtiofsd", AskVirtiofsd(spec.program, deadline));
  sys::Command command;
  command.argv = KATA_TRY(VirtiofsdArguments(spec, features, MaxOpenFiles()));

  std::unique_ptr<Virtiofsd> daemon(new Virtiofsd());
  const std::string path = spec.run_directory + "/virtiofsd.sock";
  KATA_TRY(sys::RemoveFile(path));
  const sys::UniqueFd listener = KATA_TRY(sys::ListenUnix(path, 0600, 1));
  // Connected before the daemon runs: it serves the first who came, and nobody else can come.
  auto connection = sys::ConnectUnix(path, deadline);
  KATA_TRY(sys::RemoveFile(path));
  daemon->connection_ = KATA_TRY(std::move(connection));

  // Non-blocking for the writer, so that a guest that provokes messages cannot stop the daemon.
  sys::Pipe errors = KATA_TRY(sys::MakePipe(O_NONBLOCK));
  command.stderr_fd = errors.write.get();
  command.stdout_fd = errors.write.get();
  command.fds = {{listener.get(), 3}};
  command.new_process_group = true;
  daemon->process_ = KATA_TRY_WITHIN("start virtiofsd", sys::ChildProcess::Spawn(command));
  daemon->errors_ = std::move(errors.read);
  return daemon;
}

std::string Virtiofsd::ExitReason() {
  const auto status = process_.Wait(Deadline::After({}));
  if (!status || status->Success()) return {};
  std::string words(2048, '\0');
  const ssize_t n = ::read(errors_.get(), words.data(), words.size());
  words.resize(n > 0 ? static_cast<size_t>(n) : 0);
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return fmt::format("virtiofsd ended with {}{}{}", status->Describe(), words.empty() ? "" : ": ",
                     words);
}

}  // namespace kata::storage
