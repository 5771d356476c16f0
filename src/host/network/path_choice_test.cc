// SPDX-License-Identifier: Apache-2.0
#include "host/network/path_choice.h"

#include <fcntl.h>

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/netns.h"
#include "sys/process.h"

namespace kata::network {
namespace {

using testing::HasSubstr;

TEST(WhoseNamespace, KnowsTheHostsOwn) {
  const auto fd = sys::OpenNetworkNamespace("/proc/self/ns/net");
  ASSERT_TRUE(fd);
  const auto owner = WhoseNamespace(fd->get());
  ASSERT_TRUE(owner) << owner.error().message();
  EXPECT_EQ(owner->use, NamespaceUse::kHost);
}

TEST(WhoseNamespace, NamesWhoLivesInASharedOne) {
  const auto ns = sys::MakeNetworkNamespace();
  if (!ns) GTEST_SKIP() << "needs root";
  EXPECT_EQ(WhoseNamespace(ns->get())->use, NamespaceUse::kFree);
  auto child = sys::ChildProcess::Spawn({.argv = {"sleep", "100"}, .namespace_fds = {ns->get()}});
  ASSERT_TRUE(child) << child.error().message();
  const auto owner = WhoseNamespace(ns->get());
  ASSERT_TRUE(owner) << owner.error().message();
  EXPECT_EQ(owner->use, NamespaceUse::kShared);
  EXPECT_EQ(owner->inhabitant, std::to_string(child->pid()) + " (sleep)");
  EXPECT_FALSE(owner->of_machine);
  (void)child->Terminate(std::chrono::seconds(5));
  EXPECT_EQ(WhoseNamespace(ns->get())->use, NamespaceUse::kFree);
}

TEST(ChooseModel, TakesFramesOnlyWhereNobodyLosesThem) {
  using enum NamespaceUse;
  const struct {
    Model wanted;
    NamespaceUse use;
    Model chosen;
  } cases[] = {
      {Model::kTcFilter, kFree, Model::kTcFilter}, {Model::kMacvtap, kFree, Model::kMacvtap},
      {Model::kSockets, kFree, Model::kSockets},   {Model::kTcFilter, kHost, Model::kSockets},
      {Model::kMacvtap, kShared, Model::kSockets}, {Model::kSockets, kHost, Model::kSockets},
      {Model::kNone, kHost, Model::kNone},         {Model::kNone, kShared, Model::kNone},
  };
  for (const auto& each : cases) {
    const auto chosen = ChooseModel(each.wanted, {.use = each.use, .inhabitant = "1 (x)"}, "/x");
    ASSERT_TRUE(chosen) << chosen.error().message();
    EXPECT_EQ(*chosen, each.chosen);
  }
}

TEST(ChooseModel, RefusesTheNetworkOfAnotherMachine) {
  const auto chosen = ChooseModel(
      Model::kTcFilter,
      {.use = NamespaceUse::kShared, .inhabitant = "77 (qemu)", .of_machine = true}, "/run/x");
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(chosen.error().message(), HasSubstr("\"/run/x\" is in use by process 77 (qemu)"));
}

}  // namespace
}  // namespace kata::network
