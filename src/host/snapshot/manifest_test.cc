// SPDX-License-Identifier: Apache-2.0
#include "host/snapshot/manifest.h"

#include <functional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kata::snapshot {
namespace {

using factory::kBlock;
using hypervisor::DeviceShape;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;

Manifest Example() {
  Manifest manifest;
  manifest.id = "a-snapshot_1";
  manifest.created = 1'764'400'000;
  manifest.sandbox_id = "sandbox \"1\"";
  manifest.containers = {"one", "two"};
  manifest.origin = {.vmm = "qemu",
                     .vmm_version = "7.2.22",
                     .machine = "-machine\nq35",
                     .processor = "cpu 1",
                     .host_kernel = "kernel 6.1",
                     .guest_kernel = "/vmlinux",
                     .guest_initrd = "/initrd",
                     .build = "0.1"};
  manifest.machine.boot_mib = 64;
  manifest.machine.memory_slots = 4;
  manifest.machine.max_mib = 512;
  manifest.machine.modules = {{.slot = 1, .address = uint64_t{4} << 30, .size_mib = 128}};
  manifest.machine.boot_vcpus = 1;
  manifest.machine.vcpus = 2;
  manifest.machine.max_vcpus = 4;
  manifest.machine.hotplug_ports = 4;
  manifest.machine.free_page_reporting = true;
  manifest.machine.devices = {
      {.id = "net0", .kind = DeviceShape::Kind::kNic, .mac = {2, 0, 0, 0, 0, 255}, .queues = 2},
      {.id = "disk0", .lun = 3, .plugged = true, .serial = "serial"},
      {.id = "layer",
       .port = 1,
       .plugged = true,
       .bus = hypervisor::Disk::Bus::kBlock,
       .read_only = true}};
  manifest.state_bytes = 1000;
  manifest.state_checksum = UINT64_MAX;
  manifest.memory = {{.size_mib = 64, .image = {.extents = {{kBlock, kBlock}}, .checksum = 1}},
                     {.size_mib = 128, .image = {}}};
  manifest.disks = {{.id = "disk0", .bytes = 5, .image = {.extents = {{0, 5}}, .checksum = 2}}};
  manifest.layers = {{.id = "layer", .bytes = 7}};
  manifest.shim = "{\"[[[\":1}";
  return manifest;
}

// The body of a manifest, changed and made to look untouched.
std::string Changed(const std::function<void(json&)>& change) {
  json body = json::parse(Format(Example())).at("snapshot");
  change(body);
  const std::string text = body.dump();
  return fmt::format(R"({{"format":{},"checksum":{},"snapshot":{}}})", kFormat,
                     factory::Checksum(text), text);
}

TEST(Manifest, LayersAreReadOnlyDisksOfTheMachine) {
  EXPECT_EQ(Parse(Format(Example()))->layers, Example().layers);
  for (const char* name : {"disk0", "net0", "none"}) {
    const auto read = Parse(Changed([&](json& body) { body["layers"][0]["id"] = name; }));
    EXPECT_EQ(read.error().code(), Code::kDataLoss) << name;
  }
  // Of an earlier version, which had none.
  const std::string whole = Changed([](json& body) { body.erase("layers"); });
  EXPECT_TRUE(Parse("{\"format\":1" + whole.substr(whole.find(',')))->layers.empty());
}

TEST(Manifest, ComesBackAsItWas) {
  const Manifest one = Example();
  const auto read = Parse(Format(one));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->id, one.id);
  EXPECT_EQ(read->created, one.created);
  EXPECT_EQ(read->sandbox_id, one.sandbox_id);
  EXPECT_EQ(read->containers, one.containers);
  EXPECT_EQ(read->origin, one.origin);
  EXPECT_EQ(read->machine, one.machine);
  EXPECT_EQ(read->state_checksum, one.state_checksum);
  ASSERT_THAT(read->memory, SizeIs(2));
  EXPECT_EQ(read->memory[0].image.extents, one.memory[0].image.extents);
  EXPECT_EQ(read->shim, one.shim);
  EXPECT_EQ(Format(*read), Format(one));
  EXPECT_EQ(read->bytes(), 1000 + kBlock + 5);
}

TEST(Manifest, OneThatIsCutShortOrChangedIsDamaged) {
  const std::string text = Format(Example());
  for (size_t size = 0; size + 1 < text.size(); ++size) {
    const auto read = Parse(text.substr(0, size));
    ASSERT_FALSE(read) << size;
    EXPECT_EQ(read.error().code(), Code::kDataLoss) << size;
  }
  std::string flipped = text;
  flipped[text.find("sandbox_id") + 15] ^= 1;
  EXPECT_THAT(Parse(flipped).error().message(), HasSubstr("checksum"));
}

TEST(Manifest, OneOfAnotherFormatIsRefusedByBothNumbers) {
  std::string text = Format(Example());
  text.replace(text.find("\"format\":2"), 10, "\"format\":7");
  const auto read = Parse(text);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(read.error().message(), HasSubstr("format 7"));
  EXPECT_THAT(read.error().message(), HasSubstr("reads 2"));
}

TEST(Manifest, ValuesOutOfBoundsOrOfAnotherTypeAreDamage) {
  ASSERT_TRUE(Parse(Changed([](json&) {})));
  const std::function<void(json&)> changes[] = {
      [](json& body) { body["id"] = "../up"; },
      [](json& body) { body["id"] = 1; },
      [](json& body) { body["created"] = -1; },
      [](json& body) { body["created"] = 1e300; },
      [](json& body) { body.erase("machine"); },
      [](json& body) { body["containers"] = {1}; },
      [](json& body) { body["machine"]["boot_mib"] = 1ULL << 32; },
      [](json& body) { body["machine"]["boot_mib"] = 65; },
      [](json& body) { body["machine"]["boot_vcpus"] = 0; },
      [](json& body) { body["machine"]["vcpus"] = 5; },
      [](json& body) { body["machine"]["vcpus"] = -1; },
      [](json& body) { body["machine"]["modules"].clear(); },
      [](json& body) { body["machine"]["devices"][0]["nic"]["mac"] = {1, 2, 3, 4, 5}; },
      [](json& body) { body["machine"]["devices"][0]["nic"]["mac"][0] = 256; },
      [](json& body) { body["machine"]["devices"][1]["lun"] = 1.5; },
      [](json& body) { body["machine"]["devices"][1].erase("disk"); },
      [](json& body) { body["memory"].erase(1); },
      [](json& body) { body["memory"][0]["size_mib"] = 32; },
      [](json& body) { body["memory"][0]["image"]["extents"] = {{5000, 1}}; },
      [](json& body) { body["memory"][0]["image"]["extents"] = {{1, 1}, {0, 1}}; },
      [](json& body) { body["memory"][0]["image"]["extents"] = {{0, UINT64_MAX}}; },
      [](json& body) { body["memory"][0]["image"]["extents"] = {{1}}; },
      [](json& body) { body["disks"].clear(); },
      [](json& body) { body["disks"][0]["id"] = "layer"; },
      [](json& body) { body["disks"][0]["bytes"] = 4; },
      [](json& body) { body["disks"].push_back(body["disks"][0]); },
      [](json& body) { body["state"]["bytes"] = 0; },
      [](json& body) { body["state"]["bytes"] = 1ULL << 40; },
      [](json& body) { body["shim"] = json::object(); },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    const auto read = Parse(Changed(changes[i]));
    ASSERT_FALSE(read) << "change " << i;
    EXPECT_EQ(read.error().code(), Code::kDataLoss) << "change " << i;
  }
}

TEST(Manifest, DepthIsBoundedBeforeAnythingRecurses) {
  constexpr size_t kDeep = 100'000;
  const std::string deep = std::string(kDeep, '[') + std::string(kDeep, ']');
  EXPECT_THAT(Parse(R"({"format":1,"checksum":1,"snapshot":)" + deep + "}").error().message(),
              HasSubstr("deep"));
  Manifest manifest = Example();
  manifest.shim = deep;
  EXPECT_TRUE(Parse(Format(manifest))) << "in a text it is no depth";
}

TEST(SnapshotId, IsOneNameInAFolder) {
  for (const char* good : {"a", "0", "a-b_c", "0123456789abcdef"}) EXPECT_TRUE(IsId(good)) << good;
  const std::string long_one(65, 'a');
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("A"),
        std::string("-a"), std::string(".new-a"), std::string("a\0b", 3), long_one}) {
    EXPECT_FALSE(IsId(bad)) << bad;
  }
  EXPECT_TRUE(IsId(NewId()));
  EXPECT_NE(NewId(), NewId());
}

}  // namespace
}  // namespace kata::snapshot
