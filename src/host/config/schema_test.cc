// SPDX-License-Identifier: Apache-2.0
#include "host/config/schema.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::config {
namespace {

TEST(Schema, EveryDefaultIsAValueThatItsKeyAccepts) {
  for (const Table table : kTables) {
    for (const Key& key : Keys(table)) {
      Config config;
      const Value value = Get(key, config);
      const bool means_default = value == Value(std::string());
      EXPECT_TRUE(means_default || Set(key, value, &config)) << key.name;
    }
  }
}

TEST(Schema, EveryKeyReachesAFieldOfItsOwn) {
  std::set<void*> fields;
  Config config;
  for (const Table table : kTables) {
    for (const Key& key : Keys(table)) {
      if (!key.alias_of.empty()) {
        ASSERT_NE(FindKey(key.alias_table, key.alias_of), nullptr) << key.name;
        continue;
      }
      void* field = std::visit([&](const auto& f) -> void* { return f(config); }, key.field);
      EXPECT_TRUE(fields.insert(field).second) << key.name;
      EXPECT_EQ(key.table, table) << key.name;
      EXPECT_FALSE(key.help.empty()) << key.name;
    }
  }
}

TEST(Schema, NoKeyIsBothUsedAndWithoutEffect) {
  for (const Table table : kTables) {
    const auto idle = KeysWithoutEffect(table);
    EXPECT_TRUE(std::is_sorted(idle.begin(), idle.end())) << AnnotationTable(table);
    for (const std::string_view name : idle) EXPECT_EQ(FindKey(table, name), nullptr) << name;
  }
}

TEST(SetFromText, ReadsEveryTypeOfKey) {
  Config config;
  const auto set = [&](Table table, const char* name, const char* text) {
    return SetFromText(*FindKey(table, name), text, &config).has_value();
  };
  EXPECT_TRUE(set(Table::kHypervisor, "default_memory", "512"));
  EXPECT_EQ(config.hypervisor.default_memory_mib, 512);
  EXPECT_FALSE(set(Table::kHypervisor, "default_memory", "512M"));
  EXPECT_FALSE(set(Table::kHypervisor, "default_memory", ""));
  EXPECT_FALSE(set(Table::kHypervisor, "default_memory", "63"));
  EXPECT_TRUE(set(Table::kHypervisor, "enable_hugepages", "true"));
  EXPECT_TRUE(config.hypervisor.enable_hugepages);
  EXPECT_FALSE(set(Table::kHypervisor, "enable_hugepages", "1"));
  EXPECT_TRUE(set(Table::kHypervisor, "virtio_fs_extra_args", "-o  a=b"));
  EXPECT_THAT(config.hypervisor.virtio_fs_extra_args, testing::ElementsAre("-o", "a=b"));
  EXPECT_TRUE(set(Table::kAgent, "kernel_modules", "ip_vs a=1 b=2; nbd;"));
  EXPECT_THAT(config.agent.kernel_modules, testing::ElementsAre("ip_vs a=1 b=2", "nbd"));
  EXPECT_FALSE(set(Table::kHypervisor, "kernel", "vmlinux"));
  EXPECT_TRUE(set(Table::kHypervisor, "kernel", "/boot/vmlinux"));
}

}  // namespace
}  // namespace kata::config
