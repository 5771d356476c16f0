// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/agent_test_bed.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>

#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::guest {
namespace {

constexpr const char* kBusybox = "/bin/busybox";

bool HasCgroup2() {
  return sys::Exists("/sys/fs/cgroup/cgroup.procs") ||
         sys::Exists("/sys/fs/cgroup/unified/cgroup.procs");
}

agent::ReadStreamRequest ReadRequest(const std::string& id, const std::string& exec_id) {
  agent::ReadStreamRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_len(256 << 10);
  return request;
}

}  // namespace

void AgentTestBed::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  if (!sys::Exists(kBusybox)) GTEST_SKIP() << "needs busybox-static";
  if (!HasCgroup2()) GTEST_SKIP() << "needs a version 2 cgroup hierarchy";
  char name[] = "/tmp/kata-agent-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  dir_ = name;
  MakeRootfs();
  const std::string socket = dir_ + "/agent.sock";
  // In the agent's own mount namespace things are where a guest has them.
  const std::string script = fmt::format(
      "mount -t tmpfs run /run && {{ test -e /sys/fs/cgroup/cgroup.procs || "
      "mount -t cgroup2 cgroup2 /sys/fs/cgroup; }} && exec {} >{}/log 2>&1",
      KATA_AGENT_PATH, dir_);
  sys::Command command{
      .argv = {"unshare", "--mount", "--propagation", "slave", "sh", "-c", script}};
  command.env = std::vector<std::string>{"KATA_AGENT_SERVER_ADDR=unix://" + socket,
                                         "KATA_AGENT_LOG_LEVEL=debug",
                                         std::string("PATH=") + ::getenv("PATH")};
  command.parent_death_signal = 9;
  agent_ = sys::ChildProcess::Spawn(command).value();
  const Deadline deadline = Deadline::After(std::chrono::seconds(10));
  Result<sys::UniqueFd> connection = Fail(Code::kUnavailable, "not tried");
  while (!connection && !deadline.Passed()) {
    connection = sys::ConnectUnix(socket, deadline);
    if (!connection) ::usleep(2000);
  }
  ASSERT_TRUE(connection) << connection.error().message();
  loop_ = sys::EventLoop::Create().value();
  client_ = ttrpc::Client::Create(*loop_, std::move(*connection)).value();
  thread_ = std::thread([this] { (void)loop_->Run(); });
  agent::CreateSandboxRequest request;
  request.set_sandbox_id("sandbox");
  request.set_hostname("kata-test");
  const auto created = Do("CreateSandbox", request);
  ASSERT_TRUE(created) << created.error().message();
}

void AgentTestBed::TearDown() {
  if (client_) {
    const auto destroyed = Do("DestroySandbox", agent::DestroySandboxRequest());
    EXPECT_TRUE(destroyed) << destroyed.error().message();
    const auto status = agent_.Wait(Deadline::After(std::chrono::seconds(10)));
    EXPECT_TRUE(status && status->Success()) << (status ? status->Describe() : "still there");
  }
  client_.reset();
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
  if (HasFailure() && !dir_.empty()) {
    std::fputs(sys::ReadFile(dir_ + "/log").value_or("").c_str(), stderr);
  }
  if (dir_.empty()) return;
  for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    ::rmdir(fmt::format("{}/kata-agent-test-{}", root, ::getpid()).c_str());
  }
  EXPECT_TRUE(sys::RemoveTree(dir_));
}

void AgentTestBed::MakeRootfs() const {
  const std::string rootfs = dir_ + "/rootfs";
  for (const char* sub : {"/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/root"}) {
    ASSERT_TRUE(sys::MakeDirs(rootfs + sub));
  }
  std::filesystem::copy_file(kBusybox, rootfs + "/bin/busybox");
  for (const char* applet : {"cat", "dd", "echo", "hostname", "ls", "sh", "sleep", "stty", "true",
                             "tty", "wc", "yes", "head", "sha1sum", "kill", "test"}) {
    std::filesystem::create_symlink("busybox", fmt::format("{}/bin/{}", rootfs, applet));
  }
  ASSERT_TRUE(sys::WriteFile(rootfs + "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"));
}

Result<void> AgentTestBed::Do(std::string_view method, const google::protobuf::MessageLite& request,
                              std::string_view service) {
  KATA_TRY(client_->Call(service, method, request.SerializeAsString(),
                         Deadline::After(std::chrono::seconds(30))));
  return {};
}

agent::CreateContainerRequest AgentTestBed::ContainerOf(const std::string& id,
                                                        const std::vector<std::string>& args,
                                                        bool terminal) const {
  agent::CreateContainerRequest request;
  request.set_container_id(id);
  oci::Spec& spec = *request.mutable_oci();
  spec.set_version("1.2.0");
  spec.mutable_root()->set_path(dir_ + "/rootfs");
  oci::Process& process = *spec.mutable_process();
  for (const std::string& arg : args) process.add_args(arg);
  process.add_env("PATH=/bin");
  process.set_cwd("/");
  process.set_terminal(terminal);
  const auto mount = [&spec](const char* type, const char* destination) {
    oci::Mount& entry = *spec.add_mounts();
    entry.set_type(type);
    entry.set_source(type);
    entry.set_destination(destination);
  };
  mount("proc", "/proc");
  mount("tmpfs", "/dev");
  mount("devpts", "/dev/pts");
  oci::Linux& linux = *spec.mutable_linux();
  linux.set_cgroups_path(fmt::format("/kata-agent-test-{}/{}", ::getpid(), id));
  for (const char* type : {"mount", "ipc", "uts", "cgroup"}) linux.add_namespaces()->set_type(type);
  return request;
}

Result<void> AgentTestBed::CreateContainer(const std::string& id,
                                           const std::vector<std::string>& args, bool terminal) {
  return Do("CreateContainer", ContainerOf(id, args, terminal));
}

Result<void> AgentTestBed::StartContainer(const std::string& id) {
  agent::StartContainerRequest request;
  request.set_container_id(id);
  return Do("StartContainer", request);
}

void AgentTestBed::Run(const std::string& id, const std::vector<std::string>& args, bool terminal) {
  const auto created = CreateContainer(id, args, terminal);
  ASSERT_TRUE(created) << created.error().message();
  const auto started = StartContainer(id);
  ASSERT_TRUE(started) << started.error().message();
}

Result<void> AgentTestBed::RemoveContainer(const std::string& id) {
  agent::RemoveContainerRequest request;
  request.set_container_id(id);
  return Do("RemoveContainer", request);
}

Result<void> AgentTestBed::Exec(const std::string& id, const std::string& exec_id,
                                const std::vector<std::string>& args, bool terminal) {
  agent::ExecProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  *request.mutable_process() = ContainerOf(id, args, terminal).oci().process();
  return Do("ExecProcess", request);
}

Result<int> AgentTestBed::Wait(const std::string& id, const std::string& exec_id) {
  agent::WaitProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  const auto response = KATA_TRY(Call<agent::WaitProcessResponse>("WaitProcess", request));
  return response.status();
}

Result<void> AgentTestBed::Signal(const std::string& id, const std::string& exec_id,
                                  uint32_t signal) {
  agent::SignalProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_signal(signal);
  return Do("SignalProcess", request);
}

std::string AgentTestBed::Read(std::string_view method, const std::string& id,
                               const std::string& exec_id, std::string_view until) {
  std::string all;
  while (until.empty() || all.find(until) == std::string::npos) {
    const auto chunk = Call<agent::ReadStreamResponse>(method, ReadRequest(id, exec_id));
    if (!chunk) return all + "<" + chunk.error().message() + ">";
    if (chunk->data().empty()) break;
    all += chunk->data();
  }
  return all;
}

std::string AgentTestBed::Stdout(const std::string& id, const std::string& exec_id) {
  return Read("ReadStdout", id, exec_id, "");
}

std::string AgentTestBed::Stderr(const std::string& id, const std::string& exec_id) {
  return Read("ReadStderr", id, exec_id, "");
}

std::string AgentTestBed::StdoutUntil(const std::string& id, const std::string& exec_id,
                                      std::string_view text) {
  return Read("ReadStdout", id, exec_id, text);
}

Result<uint32_t> AgentTestBed::Write(const std::string& id, const std::string& exec_id,
                                     std::string data) {
  agent::WriteStreamRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.set_data(std::move(data));
  const auto response = KATA_TRY(Call<agent::WriteStreamResponse>("WriteStdin", request));
  return response.len();
}

Result<void> AgentTestBed::CloseStdin(const std::string& id, const std::string& exec_id) {
  agent::CloseStdinRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  return Do("CloseStdin", request);
}

}  // namespace kata::guest
