// SPDX-License-Identifier: Apache-2.0
#include "host/cli/oci/sandbox_lookup.h"

#include <stdlib.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::cli::oci {
namespace {

using ::testing::HasSubstr;

class SandboxLookup : public ::testing::Test {
 protected:
  SandboxLookup() {
    char name[] = "/tmp/sandbox-lookup-XXXXXX";
    records_ = ::mkdtemp(name);
  }
  ~SandboxLookup() override { (void)sys::RemoveTree(records_); }
  void Save(const std::string& id, const std::vector<std::string>& containers) {
    ASSERT_TRUE(sandbox::SaveRecord(
        {.id = id, .owner = "/run/" + id + ".sock", .containers = containers}, records_));
  }
  std::string Find(const std::string& id) {
    const auto found = FindContainer(id, records_);
    return found ? found->id + " " + found->shim : found.error().message();
  }
  std::string records_;
};

TEST_F(SandboxLookup, FindsContainersBySandboxesAndByBeginnings) {
  Save("4f0011aa", {"4f0011aa"});
  Save("4f0022bb", {"4f0022bb"});
  Save("pod", {"first", "second"});
  Save("alone", {"web"});
  EXPECT_EQ(Find("4f0011aa"), "4f0011aa /run/4f0011aa.sock");
  EXPECT_EQ(Find("second"), "second /run/pod.sock");
  EXPECT_EQ(Find("alone"), "web /run/alone.sock");
  EXPECT_EQ(Find("4f0022"), "4f0022bb /run/4f0022bb.sock");
  EXPECT_EQ(Find("alon"), "web /run/alone.sock");
  EXPECT_THAT(Find("pod"), HasSubstr("several containers, name one: first, second"));
  EXPECT_THAT(Find("4f00"), HasSubstr("several containers begin with \"4f00\""));
  EXPECT_THAT(Find("4f0"), HasSubstr("\"4f0\" does not exist"));
  EXPECT_THAT(Find("nobody"), HasSubstr("\"nobody\" does not exist"));
}

}  // namespace
}  // namespace kata::cli::oci
