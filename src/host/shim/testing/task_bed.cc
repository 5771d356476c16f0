// SPDX-License-Identifier: Apache-2.0
#include "host/shim/testing/task_bed.h"

#include <stdlib.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "host/shim/event_transport.h"
#include "proto/events.pb.h"
#include "proto/sandbox_api.pb.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace kata::shim {
namespace {

constexpr size_t kMostCalls = 1 << 20;

template <class Event>
std::string Read(const events::Envelope& envelope, const char* verb) {
  Event event;
  if (!event.ParseFromString(envelope.event().value())) return "broken event";
  std::string name = event.container_id();
  if constexpr (requires { event.exec_id(); }) {
    if (!event.exec_id().empty()) name += "/" + event.exec_id();
  } else if constexpr (requires { event.id(); }) {
    if (!event.id().empty() && event.id() != event.container_id()) name += "/" + event.id();
  }
  return fmt::format("{} {}", verb, name);
}

std::string Describe(const events::Envelope& envelope) {
  const std::string& topic = envelope.topic();
  if (topic == "/tasks/create") return Read<events::TaskCreate>(envelope, "create");
  if (topic == "/tasks/start") return Read<events::TaskStart>(envelope, "start");
  if (topic == "/tasks/exec-added") return Read<events::TaskExecAdded>(envelope, "add");
  if (topic == "/tasks/exec-started") return Read<events::TaskExecStarted>(envelope, "start");
  if (topic == "/tasks/exit") return Read<events::TaskExit>(envelope, "exit");
  if (topic == "/tasks/delete") return Read<events::TaskDelete>(envelope, "delete");
  return topic;
}

class LogTransport : public EventTransport {
 public:
  LogTransport(sys::EventLoop& loop, std::shared_ptr<EventLog> log)
      : loop_(loop), log_(std::move(log)) {}
  void Send(const events::Envelope& envelope, Done done) override {
    log_->Add(Describe(envelope));
    loop_.Post([done = std::move(done)]() mutable { done({}); });
  }

 private:
  sys::EventLoop& loop_;
  const std::shared_ptr<EventLog> log_;
};

template <class Request>
Request For(const std::string& id, const std::string& exec_id) {
  Request request;
  request.set_id(id);
  request.set_exec_id(exec_id);
  return request;
}

}  // namespace

bool WaitUntil(const std::function<bool()>& met) {
  const Deadline deadline = Deadline::After(std::chrono::seconds(30));
  while (!met()) {
    if (deadline.Passed()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void EventLog::Add(std::string event) {
  const MutexLock lock(mutex_);
  events_.push_back(std::move(event));
}

std::vector<std::string> EventLog::all() const {
  const MutexLock lock(mutex_);
  return events_;
}

bool EventLog::Has(const std::string& event) const {
  const MutexLock lock(mutex_);
  return std::ranges::find(events_, event) != events_.end();
}

TaskBed::TaskBed(size_t threads) : loop_(sys::EventLoop::Create().value()) {
  thread_ = std::thread([this] { EXPECT_TRUE(loop_->Run()); });
  host_ = std::make_unique<sandbox::FakeHost>(*loop_, directory_.path());
  ::setenv("KATA_CONF_FILE", host_->WriteConfiguration().c_str(), 1);
  EXPECT_TRUE(sys::WriteFile(directory_.path() + "/root.img", ""));
  publisher_ = std::make_unique<EventPublisher>(
      *loop_, "test", std::make_unique<LogTransport>(*loop_, events_), EventLimits{});
  pool_ = std::make_unique<sys::WorkerPool>(threads);
  DaemonArgs args;
  args.id = kPod;
  args.namespace_name = "test";
  args.socket_path = socket();
  EXPECT_TRUE(sys::WriteFile(socket(), ""));
  RunOnLoop([&] {
    service_ = std::make_unique<TaskService>(
        args, *loop_, *pool_, *publisher_, [this] { ended_ = true; },
        std::make_unique<sandbox::Machine>(kPod, *loop_, host_->host()));
    server_ = std::make_unique<ttrpc::Server>(*loop_);
    service_->Register(*server_);
  });
  Connect();
}

TaskBed::~TaskBed() {
  host_->SetStartScript({});
  host_->SetStopScript({});
  if (!client_) Connect();
  (void)Shutdown(true).get();
  // What a pod of the sandbox API does not end by.
  if (!ended_) {
    (void)SendPod<sandbox_api::ShutdownSandboxResponse>("ShutdownSandbox",
                                                        sandbox_api::ShutdownSandboxRequest())
        .get();
  }
  EXPECT_EQ(host_->vms(), 0u);
  EXPECT_EQ(host_->Leftovers(), std::vector<std::string>());
  Disconnect();
  RunOnLoop([this] { server_.reset(); });
  pool_.reset();
  EXPECT_TRUE(publisher_->Flush(Patience()));
  loop_->Stop();
  thread_.join();
  service_.reset();
  publisher_.reset();
  host_.reset();
}

std::vector<std::string> TaskBed::FlushedEvents() {
  EXPECT_TRUE(publisher_->Flush(Patience()));
  return events_->all();
}

void TaskBed::RunOnLoop(const std::function<void()>& work) {
  std::promise<void> done;
  loop_->Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void TaskBed::Disconnect() {
  if (!client_) return;
  client_.reset();
  EXPECT_TRUE(WaitUntil([this] {
    size_t connections = 0;
    RunOnLoop([&] { connections = server_->connections(); });
    return connections == 0;
  }));
}

void TaskBed::Connect() {
  auto pair = sys::MakeSocketPair().value();
  RunOnLoop([&] { EXPECT_TRUE(server_->Serve(std::move(pair.theirs))); });
  // containerd has no bound of its own.
  client_ = ttrpc::Client::Create(*loop_, std::move(pair.ours), {.max_calls = kMostCalls}).value();
}

std::string TaskBed::WriteBundle(const std::string& id, const std::string& annotations) {
  const std::string bundle = fmt::format("{}/bundle-{}", directory_.path(), id);
  EXPECT_TRUE(sys::MakeDirs(bundle));
  const std::string kind = id == kPod ? "sandbox" : "container";
  EXPECT_TRUE(sys::WriteFile(bundle + "/config.json", fmt::format(R"({{
  "ociVersion": "1.0.2",
  "root": {{"path": "rootfs"}},
  "process": {{"args": ["/true"], "cwd": "/", "user": {{"uid": 0, "gid": 0}}}},
  "linux": {{"namespaces": [{{"type": "pid"}}, {{"type": "ipc"}}, {{"type": "uts"}},
                            {{"type": "mount"}}, {{"type": "network"}}]}},
  "annotations": {{"io.kubernetes.cri.container-type": "{}",
                   "io.kubernetes.cri.sandbox-id": "{}"{}}}
}})",
                                                                  kind, kPod, annotations)));
  return bundle;
}

TaskBed::Answer<task::CreateTaskResponse> TaskBed::Create(const std::string& id, Deadline deadline,
                                                          const std::string& annotations) {
  task::CreateTaskRequest request;
  request.set_id(id);
  request.set_bundle(WriteBundle(id, annotations));
  task::Mount& mount = *request.add_rootfs();
  mount.set_type("ext4");
  mount.set_source(directory_.path() + "/root.img");
  mount.add_options("loop");
  mount.add_options("ro");
  return Send<task::CreateTaskResponse>("Create", request, deadline);
}

TaskBed::Answer<task::StartResponse> TaskBed::Start(const std::string& id,
                                                    const std::string& exec_id) {
  return Send<task::StartResponse>("Start", For<task::StartRequest>(id, exec_id));
}

TaskBed::Answer<wellknown::Empty> TaskBed::Exec(const std::string& id, const std::string& exec_id) {
  auto request = For<task::ExecProcessRequest>(id, exec_id);
  request.mutable_spec()->set_value(R"({"args": ["/true"], "cwd": "/"})");
  return Send<wellknown::Empty>("Exec", request);
}

TaskBed::Answer<wellknown::Empty> TaskBed::Kill(const std::string& id, const std::string& exec_id,
                                                uint32_t signal) {
  auto request = For<task::KillRequest>(id, exec_id);
  request.set_signal(signal);
  return Send<wellknown::Empty>("Kill", request);
}

TaskBed::Answer<task::DeleteResponse> TaskBed::Delete(const std::string& id,
                                                      const std::string& exec_id) {
  return Send<task::DeleteResponse>("Delete", For<task::DeleteRequest>(id, exec_id));
}

TaskBed::Answer<task::WaitResponse> TaskBed::Wait(const std::string& id,
                                                  const std::string& exec_id) {
  return Send<task::WaitResponse>("Wait", For<task::WaitRequest>(id, exec_id), Deadline::Never());
}

TaskBed::Answer<task::StateResponse> TaskBed::State(const std::string& id,
                                                    const std::string& exec_id) {
  return Send<task::StateResponse>("State", For<task::StateRequest>(id, exec_id));
}

TaskBed::Answer<wellknown::Empty> TaskBed::Shutdown(bool now) {
  task::ShutdownRequest request;
  request.set_id(kPod);
  request.set_now(now);
  return Send<wellknown::Empty>("Shutdown", request);
}

TaskBed::Answer<wellknown::Empty> TaskBed::Update(const std::string& id,
                                                  const std::string& resources) {
  task::UpdateTaskRequest request;
  request.set_id(id);
  request.mutable_resources()->set_value(resources);
  return Send<wellknown::Empty>("Update", request);
}

void TaskBed::StartPod(const std::string& annotations) {
  const auto created = Create(kPod, Patience(), annotations).get();
  ASSERT_TRUE(created) << created.error().message();
  const auto started = Start(kPod).get();
  ASSERT_TRUE(started) << started.error().message();
}

}  // namespace kata::shim
