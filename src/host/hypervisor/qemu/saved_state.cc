// SPDX-License-Identifier: Apache-2.0
//
// Saving and restoring, in QEMU's words a migration: one that leaves the guest's memory where it is
// ("x-ignore-shared"), so that the stream holds the devices and processors only.
#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/rollback.h"
#include "host/hypervisor/qemu/qemu_vm.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::hypervisor::qemu {
namespace {

using nlohmann::json;

constexpr size_t kMaxState = 64 << 20;
constexpr char kStream[] = "state";
constexpr char kFile[] = "/devices";

Result<std::string> ReadToEnd(int fd, Deadline deadline) {
  std::string all;
  for (;;) {
    KATA_TRY(sys::WaitFor(fd, POLLIN, deadline));
    char buffer[64 << 10];
    const ssize_t n = sys::RetryOnEintr([&] { return ::read(fd, buffer, sizeof buffer); });
    if (n < 0) return FailErrno("read", "the VM's state");
    if (n == 0) return all;
    all.append(buffer, static_cast<size_t>(n));
    if (all.size() > kMaxState) return Fail(Code::kOutOfRange, "the VM's state is too long");
  }
}

}  // namespace

Result<void> QemuVm::PrepareMigration(Deadline deadline) {
  const auto on = [](const char* name) { return json{{"capability", name}, {"state", true}}; };
  KATA_TRY(Call("migrate-set-capabilities",
                {{"capabilities", json::array({on("x-ignore-shared"), on("events")})}}, deadline));
  // Nor does QEMU tell the network of a NIC whose address is the template's.
  KATA_TRY(Call("migrate-set-parameters", {{"announce-rounds", 0}}, deadline));
  return {};
}

Result<void> QemuVm::BeginMigration(std::string_view command, sys::UniqueFd stream,
                                    Deadline deadline) {
  process_->ExpectMigration();
  Rollback undo;
  // QEMU keeps it until a command has used it.
  undo.Add([&] { (void)Call("closefd", {{"fdname", kStream}}, UndoDeadline()); });
  KATA_TRY(Call("getfd", {{"fdname", kStream}}, deadline, stream.get()));
  KATA_TRY(Call(command, {{"uri", fmt::format("fd:{}", kStream)}}, deadline));
  undo.Release();
  return {};
}

Result<void> QemuVm::Save(const std::string& folder, Deadline deadline) {
  KATA_TRY(PrepareMigration(deadline));
  KATA_TRY(Call("stop", nullptr, deadline));
  sys::SocketPair stream = KATA_TRY(sys::MakeSocketPair());
  KATA_TRY(BeginMigration("migrate", std::move(stream.theirs), deadline));
  const std::string state = KATA_TRY(ReadToEnd(stream.ours.get(), deadline));
  KATA_TRY(process_->WaitForMigration(deadline));
  return sys::WriteFile(folder + kFile, state, 0600);
}

Result<void> QemuVm::Restore(const std::string& folder, Deadline deadline) {
  const std::string state = KATA_TRY(sys::ReadFile(folder + kFile, kMaxState));
  sys::SocketPair stream = KATA_TRY(sys::MakeSocketPair());
  KATA_TRY(BeginMigration("migrate-incoming", std::move(stream.theirs), deadline));
  if (auto sent = sys::SendAll(stream.ours.get(), state, deadline); !sent) {
    return std::unexpected(process_->Explain(std::move(sent).error()));
  }
  stream.ours.Reset();
  if (auto read = process_->WaitForMigration(deadline); !read) {
    return std::unexpected(process_->Explain(std::move(read).error()));
  }
  // It comes back as it was saved: stopped.
  return Resume(deadline);
}

}  // namespace kata::hypervisor::qemu
