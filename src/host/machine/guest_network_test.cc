// SPDX-License-Identifier: Apache-2.0
//
// Needs root: real interfaces in a namespace that the test makes; the machine is one that only
// counts its devices.
#include "host/machine/guest_network.h"

#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/testing/network_test.h"
#include "sys/traffic_control.h"

namespace kata::sandbox {
namespace {

using testing::HasSubstr;

// One more than the NICs that wait, so that the last one has to be plugged.
constexpr int kInterfaces = 5;

class PlugBoard : public hypervisor::Hypervisor {
 public:
  Result<void> Start(hypervisor::VmSpec, Deadline) override { return {}; }
  Result<sys::UniqueFd> ConnectAgent(Deadline) override { return sys::UniqueFd(); }
  Result<hypervisor::GuestAddress> Attach(hypervisor::Device, Deadline) override {
    ++attached;
    if (on_attach) on_attach();
    return Fail(Code::kResourceExhausted, "no free port");
  }
  Result<void> Detach(const std::string&, Deadline) override { return {}; }
  Result<void> GrowDisk(const std::string&, uint64_t, Deadline) override { return {}; }
  Result<hypervisor::Resized> Resize(hypervisor::Resources, Deadline) override {
    return hypervisor::Resized();
  }
  Result<hypervisor::SavedVm> Save(const std::string&, Deadline) override {
    return hypervisor::SavedVm();
  }
  Result<void> Restore(const std::string&, Deadline) override { return {}; }
  void Kill() override {}
  Result<void> Pause(Deadline) override { return {}; }
  Result<void> Resume(Deadline) override { return {}; }
  void Stop(std::chrono::milliseconds) override {}
  void OnExit(ExitHandler) override {}
  bool has_disks() const override { return false; }
  pid_t pid() const override { return -1; }
  std::string ConsoleTail(size_t) const override { return ""; }

  int attached = 0;
  std::function<void()> on_attach;
};

class GuestNetworkTest : public sys::testing::NetworkTest {
 protected:
  void SetUpNetwork() override {
    for (int i = 0; i < kInterfaces; ++i) {
      const std::string name = fmt::format("eth{}", i);
      ASSERT_TRUE(sys::AddVethPair(*socket_, name, "far" + name));
      // The other end stays down, and is nothing that a machine would get.
      ASSERT_TRUE(sys::ChangeLink(*socket_, Find(name).index, {.up = true}));
    }
    loop_ = sys::EventLoop::Create().value();
    thread_ = std::thread([this] { (void)loop_->Run(); });
    int ends[2] = {-1, -1};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    guest_.Reset(ends[1]);
    agent_ = agent::AgentClient::Create(*loop_, sys::UniqueFd(ends[0]), std::chrono::seconds(10),
                                        [](const Error&) {})
                 .value();
    network_ =
        GuestNetwork::Open(fmt::format("/proc/self/fd/{}", ns_.get()), network::Model::kTcFilter)
            .value();
    auto nics = network_->MakeNics({.vhost = false}, [this](std::vector<NetworkEntry> entries) {
      saved_ = std::move(entries);
      return Result<void>();
    });
    ASSERT_TRUE(nics) << nics.error().message();
    ASSERT_EQ(nics->size(), kInterfaces - 1U);
    nics_ = *std::move(nics);
  }
  void TearDown() override {
    if (network_) network_->Close();
    agent_.reset();
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
  }

  bool IsSaved(const std::string& name) const {
    return std::ranges::any_of(
        saved_, [&](const NetworkEntry& entry) { return entry.connection.interface == name; });
  }

  std::unique_ptr<sys::EventLoop> loop_;
  std::thread thread_;
  sys::UniqueFd guest_;
  PlugBoard vm_;
  std::unique_ptr<agent::AgentClient> agent_;
  std::unique_ptr<GuestNetwork> network_;
  std::vector<hypervisor::Nic> nics_;
  std::vector<NetworkEntry> saved_;
};

TEST_F(GuestNetworkTest, AHookOfSomebodyElseOutlivesAPlugThatItPrevents) {
  const int last = Find(fmt::format("eth{}", kInterfaces - 1)).index;
  ASSERT_TRUE(sys::AddIngressQdisc(*socket_, last));
  // The next look must not take the interface either.
  for (int look = 0; look < 2; ++look) {
    const auto synced = network_->Sync(vm_, *agent_, Deadline::Never());
    ASSERT_FALSE(synced);
    EXPECT_THAT(synced.error().message(), HasSubstr("which is not ours"));
  }
  EXPECT_EQ(vm_.attached, 0);
  EXPECT_FALSE(IsSaved("eth4"));
  EXPECT_TRUE(IsSaved("eth3"));
  EXPECT_TRUE(sys::DeleteIngressQdisc(*socket_, last)) << "it is still there";
}

TEST_F(GuestNetworkTest, APlugThatTheMachineRefusesLeavesTheInterfaceAsItWas) {
  const auto synced = network_->Sync(vm_, *agent_, Deadline::Never());
  ASSERT_FALSE(synced);
  EXPECT_THAT(synced.error().message(), HasSubstr("no free port"));
  EXPECT_EQ(vm_.attached, 1);
  EXPECT_FALSE(IsSaved("eth4"));
  EXPECT_FALSE(sys::DeleteIngressQdisc(*socket_, Find("eth4").index)) << "ours has gone";
}

// The tap is guarded before it leads anywhere, and in whichever namespace it comes to be.
TEST_F(GuestNetworkTest, ASpareTapIsGuardedWhereverItGoes) {
  const std::vector<std::string> deny{"192.0.2.0/24"};
  const egress::Policy policy{*egress::ParseRules({}, deny)};
  const auto save = [](const std::vector<NetworkEntry>&) { return Result<void>(); };
  const auto count = [](int ns, const std::string& name) {
    return sys::RunInNetns(ns, [&]() -> Result<std::optional<network::EgressCounts>> {
      sys::NetlinkSocket socket = KATA_TRY(sys::NetlinkSocket::Open());
      const int tap = KATA_TRY(sys::FindLink(socket, name)).index;
      return network::CountEgress(socket, tap, network::Model::kTcFilter);
    });
  };
  const auto waiting = GuestNetwork::Open("", network::Model::kTcFilter).value();
  const auto nics = waiting->MakeNics({.vhost = false, .of_template = true}, save);
  ASSERT_TRUE(nics) << nics.error().message();
  const sys::UniqueFd its = waiting->DuplicateNamespace().value();
  EXPECT_FALSE(*count(its.get(), "tap0_kata"));
  // Adopted where it is.
  ASSERT_TRUE(waiting->SetEgress(policy));
  EXPECT_TRUE(*count(its.get(), "tap0_kata"));
  ASSERT_TRUE(waiting->SetEgress({}));
  EXPECT_FALSE(*count(its.get(), "tap0_kata"));
  // Adopted into another one.
  const sys::UniqueFd ns = sys::MakeNetworkNamespace().value();
  const auto taking =
      GuestNetwork::Open(fmt::format("/proc/self/fd/{}", ns.get()), network::Model::kTcFilter)
          .value();
  const auto taken =
      taking->TakeNic(*waiting, {.vhost = false, .egress = policy, .of_template = true}, save);
  ASSERT_TRUE(taken) << taken.error().message();
  EXPECT_TRUE(*count(ns.get(), "tap0_kata"));
  taking->Close();
  waiting->Close();
  // Of a machine that was saved.
  const auto restored = GuestNetwork::Open("", network::Model::kTcFilter).value();
  const std::vector<SavedNic> saved{{.id = "net0", .mac = {2, 0, 0, 0, 0, 1}, .port = {}}};
  ASSERT_TRUE(restored->MakeNics({.vhost = false, .egress = policy, .saved = saved}, save));
  EXPECT_TRUE(*count(restored->DuplicateNamespace().value().get(), "tap0_kata"));
  restored->Close();
}

TEST_F(GuestNetworkTest, ASyncWaitsForOneThatHangsNoLongerThanItMay) {
  std::promise<void> plugging;
  std::promise<void> proceed;
  vm_.on_attach = [&] {
    plugging.set_value();
    proceed.get_future().wait();
  };
  auto first = std::async(std::launch::async,
                          [this] { return network_->Sync(vm_, *agent_, Deadline::Never()); });
  plugging.get_future().wait();
  auto second = std::async(std::launch::async, [this] {
    return network_->Sync(vm_, *agent_, Deadline::After(std::chrono::milliseconds(10)));
  });
  EXPECT_EQ(second.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  proceed.set_value();
  EXPECT_EQ(second.get().error().code(), Code::kDeadlineExceeded);
  EXPECT_FALSE(first.get());
}

}  // namespace
}  // namespace kata::sandbox
