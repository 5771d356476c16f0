// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/fake_monitor.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace kata::hypervisor::qemu {
namespace {

constexpr char kFakeGreeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}}}\n";
constexpr int kProcessors = 4;
constexpr uint64_t kFirstModule = uint64_t{4} << 30;
constexpr uint64_t kModuleStep = uint64_t{1} << 30;

std::string Text(const nlohmann::json& object, const char* name) {
  return object.is_object() && object.contains(name) ? object[name].get<std::string>() : "";
}

}  // namespace

FakeMonitor::FakeMonitor(sys::UniqueFd socket) : socket_(std::move(socket)) {
  thread_ = std::thread([this] { Run(); });
}

FakeMonitor::~FakeMonitor() {
  ::shutdown(socket_.get(), SHUT_RDWR);
  thread_.join();
}

void FakeMonitor::Refuse(const std::string& command) {
  const MutexLock lock(mutex_);
  refused_.insert(command);
}

void FakeMonitor::AnswerLate(const std::string& command) {
  const MutexLock lock(mutex_);
  late_.insert(command);
}

void FakeMonitor::GuestHoldsDevices(bool holds) {
  const MutexLock lock(mutex_);
  holds_ = holds;
}

void FakeMonitor::MigrationsHang() {
  const MutexLock lock(mutex_);
  migrations_hang_ = true;
}

void FakeMonitor::LetGo(const std::string& id) {
  const MutexLock lock(mutex_);
  devices_.erase(id);
  leaving_.erase(id);
  Event("DEVICE_DELETED", {{"device", id}, {"path", "/machine/peripheral/" + id}});
}

std::set<std::string> FakeMonitor::devices() {
  const MutexLock lock(mutex_);
  std::set<std::string> ids;
  for (const auto& [id, device] : devices_) ids.insert(id);
  return ids;
}

std::set<std::string> FakeMonitor::back_ends() {
  const MutexLock lock(mutex_);
  return back_ends_;
}

std::map<std::string, uint64_t> FakeMonitor::disks() {
  const MutexLock lock(mutex_);
  return disks_;
}

std::set<std::string> FakeMonitor::descriptors() {
  const MutexLock lock(mutex_);
  std::set<std::string> names;
  for (const auto& [name, fd] : descriptors_) names.insert(name);
  for (const auto& [name, fd] : sets_) names.insert("set " + name);
  return names;
}

void FakeMonitor::Run() {
  {
    const MutexLock lock(mutex_);
    (void)sys::WriteAll(socket_.get(), kFakeGreeting);
  }
  std::string pending;
  sys::UniqueFd fd;
  for (;;) {
    auto received = sys::ReceiveWithFd(socket_.get(), 4096);
    if (!received || received->data.empty()) return;
    pending += received->data;
    if (received->fd) fd = std::move(received->fd);
    for (size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
      const std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      Handle(Json::parse(line), std::exchange(fd, {}));
    }
  }
}

void FakeMonitor::Handle(const Json& message, sys::UniqueFd fd) {
  const MutexLock lock(mutex_);
  if (!late_answer_.is_null()) Send(std::exchange(late_answer_, nullptr));
  const std::string command = Text(message, "execute");
  const Json arguments = message.value("arguments", Json::object());
  std::string refusal;
  Json answer{{"id", message.at("id")}};
  if (refused_.erase(command) > 0) {
    refusal = "refused";
  } else {
    answer["return"] = Do(command, arguments, std::move(fd), &refusal);
  }
  if (!refusal.empty()) {
    answer.erase("return");
    const bool missing = refusal.find("not found") != std::string::npos;
    answer["error"] = {{"class", missing ? "DeviceNotFound" : "GenericError"}, {"desc", refusal}};
  }
  if (late_.erase(command) > 0) {
    late_answer_ = std::move(answer);
  } else {
    Send(answer);
  }
}

nlohmann::json FakeMonitor::Do(const std::string& command, const Json& arguments, sys::UniqueFd fd,
                               std::string* refusal) {
  const std::string id = Text(arguments, "id");
  if (command == "getfd") {
    descriptors_[Text(arguments, "fdname")] = std::move(fd);
  } else if (command == "closefd") {
    (void)Take(Text(arguments, "fdname"), refusal);
  } else if (command == "add-fd") {
    const int64_t set = arguments.value("fdset-id", int64_t{0});
    const int number = fd.get();
    sets_[fmt::format("{}", set)] = std::move(fd);
    return {{"fdset-id", set}, {"fd", number}};
  } else if (command == "query-fdsets") {
    return Sets();
  } else if (command == "xen-save-devices-state") {
    const std::string name = Text(arguments, "filename");
    const auto set = sets_.find(name.substr(name.rfind('/') + 1));
    if (set == sets_.end()) *refusal = "no such set";
    if (refusal->empty()) (void)sys::WriteAll(set->second.get(), "devices");
  } else if (command == "remove-fd") {
    sets_.erase(fmt::format("{}", arguments.at("fdset-id").get<int64_t>()));
  } else if (command == "blockdev-add") {
    back_ends_.insert(Text(arguments, "node-name"));
    disks_[Text(arguments, "node-name")] = kFakeDisk;
  } else if (command == "blockdev-del") {
    back_ends_.erase(Text(arguments, "node-name"));
    disks_.erase(Text(arguments, "node-name"));
  } else if (command == "query-named-block-nodes") {
    Json nodes = Json::array();
    for (const auto& [name, bytes] : disks_) {
      nodes.push_back({{"node-name", name}, {"image", {{"virtual-size", bytes}}}});
    }
    return nodes;
  } else if (command == "block_resize") {
    disks_.at(Text(arguments, "node-name")) = arguments.at("size").get<uint64_t>();
  } else if (command == "chardev-add") {
    (void)Take(Text(arguments.at(Json::json_pointer("/backend/data/addr/data")), "str"), refusal);
    if (refusal->empty()) back_ends_.insert(id);
  } else if (command == "chardev-remove" || command == "netdev_del") {
    back_ends_.erase(id);
  } else if (command == "netdev_add") {
    for (const char* name : {"fd", "fds", "vhostfd", "vhostfds"}) {
      (void)Take(Text(arguments, name), refusal);
    }
    if (refusal->empty()) back_ends_.insert(id);
  } else if (command == "object-add") {
    if (!modules_.emplace(id, arguments.at("size").get<uint64_t>()).second) *refusal = "duplicate";
  } else if (command == "object-del") {
    if (devices_.contains("dimm-" + id)) {
      *refusal = "object is in use";
    } else {
      modules_.erase(id);
    }
  } else if (command == "device_add") {
    return Plug(arguments, refusal);
  } else if (command == "device_del") {
    Unplug(id, refusal);
  } else if (command == "query-hotpluggable-cpus") {
    return Processors();
  } else if (command == "query-memory-devices") {
    return MemoryModules();
  } else if (command == "migrate-incoming") {
    ReadState(arguments, refusal);
  }
  return Json::object();
}

nlohmann::json FakeMonitor::Plug(const Json& arguments, std::string* refusal) {
  const std::string id = Text(arguments, "id");
  const auto place = [](const Json& device) {
    return fmt::format("{} {} {}", Text(device, "bus"), Text(device, "addr"),
                       device.value("lun", 0));
  };
  for (const auto& [other, device] : devices_) {
    if (other == id) *refusal = fmt::format("Duplicate device ID '{}'", id);
    if (arguments.contains("bus") && place(device) == place(arguments)) {
      *refusal = fmt::format("its place is in use by '{}'", other);
    }
  }
  if (refusal->empty()) devices_[id] = arguments;
  return Json::object();
}

void FakeMonitor::Unplug(const std::string& id, std::string* refusal) {
  if (!devices_.contains(id)) {
    *refusal = fmt::format("Device '{}' not found", id);
    return;
  }
  if (!leaving_.insert(id).second) {
    *refusal = fmt::format("Device {} is already in the process of unplug", id);
  }
  if (holds_) return;
  devices_.erase(id);
  leaving_.erase(id);
  Event("DEVICE_DELETED", {{"device", id}});
}

nlohmann::json FakeMonitor::Processors() const {
  Json places = Json::array();
  for (int socket = kProcessors - 1; socket >= 0; --socket) {
    Json place{{"type", "max-x86_64-cpu"}, {"props", {{"socket-id", socket}}}};
    const bool plugged = std::ranges::any_of(devices_, [&](const auto& device) {
      return device.second.value("socket-id", 0) == socket && socket > 0;
    });
    if (socket == 0 || plugged) place["qom-path"] = "/machine/somewhere";
    places.push_back(place);
  }
  return places;
}

nlohmann::json FakeMonitor::MemoryModules() const {
  Json modules = Json::array();
  for (const auto& [name, bytes] : modules_) {
    if (!devices_.contains("dimm-" + name)) continue;
    const auto slot = modules.size();
    modules.push_back({{"type", "dimm"},
                       {"data",
                        {{"id", "dimm-" + name},
                         {"size", bytes},
                         {"slot", slot},
                         {"addr", kFirstModule + slot * kModuleStep}}}});
  }
  return modules;
}

std::vector<sys::UniqueFd> FakeMonitor::Take(const std::string& names, std::string* refusal) {
  std::vector<sys::UniqueFd> taken;
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(':', begin), names.size());
    const auto there = descriptors_.find(names.substr(begin, end - begin));
    if (there == descriptors_.end()) {
      *refusal = "File descriptor named '" + names + "' has not been found";
    } else {
      taken.push_back(std::move(there->second));
      descriptors_.erase(there);
    }
    begin = end + 1;
  }
  return taken;
}

nlohmann::json FakeMonitor::Sets() const {
  Json sets = Json::array();
  for (const auto& [set, fd] : sets_) {
    sets.push_back({{"fdset-id", std::stoi(set)}, {"fds", {{{"fd", fd.get()}}}}});
  }
  return sets;
}

void FakeMonitor::ReadState(const Json& arguments, std::string* refusal) {
  const std::string uri = Text(arguments, "uri");
  auto taken = Take(uri.substr(uri.find(':') + 1), refusal);
  if (!refusal->empty() || taken.empty()) return;
  // What is to come fits into the socket, and nobody reads it.
  incoming_ = std::move(taken.front());
  if (!migrations_hang_) Event("MIGRATION", {{"status", "completed"}});
}

void FakeMonitor::Event(const std::string& name, const Json& data) {
  Send({{"event", name}, {"data", data}});
}

void FakeMonitor::Send(const Json& message) {
  (void)sys::WriteAll(socket_.get(), message.dump() + "\n");
}

void FakeMonitorTest::Start(VmSpec spec) {
  sys::SocketPair pair = *sys::MakeSocketPair();
  monitor_ = std::make_unique<FakeMonitor>(std::move(pair.theirs));
  vm_ = std::make_unique<QemuVm>(loop_.loop());
  vm_->ConnectMonitor(std::move(pair.ours));
  CommandLine line;
  if (spec.memory.file) {
    memory_ = *sys::Duplicate(spec.memory.file.get());
    line.memory_fd = memory_.get();
  }
  const auto entered = vm_->Enter(spec, line, "/proc/self/fd/", {}, Soon());
  ASSERT_TRUE(entered) << entered.error().message();
}

}  // namespace kata::hypervisor::qemu
