// SPDX-License-Identifier: Apache-2.0
#include "host/plan/layered_request.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

using testing::ElementsAre;

agent::Storage StorageAt(const std::string& mount_point) {
  agent::Storage storage;
  storage.set_mount_point(mount_point);
  return storage;
}

// A guest that answers with the errors, one a call, and then with success.
class LayeredRequestTest : public testing::Test {
 protected:
  LayeredRequestTest() {
    request_.mutable_oci()->mutable_root()->set_path("/shared/c1/rootfs");
    layered_.UseLayers(request_, {StorageAt("/layer"), StorageAt("/root/c1")}, "/root/c1");
    *request_.add_storages() = StorageAt("/disk");
  }
  Result<void> Create(std::vector<Error> errors) {
    const auto ask = [&](const agent::CreateContainerRequest& request) -> Result<void> {
      roots_.push_back(request.oci().root().path());
      storages_.clear();
      for (const agent::Storage& storage : request.storages()) {
        storages_.push_back(storage.mount_point());
      }
      if (errors.empty()) return {};
      Error error = std::move(errors.front());
      errors.erase(errors.begin());
      return std::unexpected(std::move(error));
    };
    return layered_.Create(request_, ask, [&](const Error& error) -> Result<void> {
      reasons_.push_back(error.message());
      if (may_share_) return {};
      return Fail(Code::kFailedPrecondition, "its files are elsewhere");
    });
  }
  agent::CreateContainerRequest request_;
  LayeredRequest layered_;
  bool may_share_ = true;
  std::vector<std::string> roots_, storages_, reasons_;
};

const char* const kRefused = "storage overlayfs on \"/root/c1\": mount: Invalid argument";

TEST_F(LayeredRequestTest, AsksOnceWhereTheGuestCan) {
  EXPECT_TRUE(Create({}));
  EXPECT_THAT(roots_, ElementsAre("/root/c1"));
  EXPECT_THAT(storages_, ElementsAre("/layer", "/root/c1", "/disk"));
  EXPECT_TRUE(layered_.in_use());
}

TEST_F(LayeredRequestTest, WhatTheGuestCannotMountIsAskedForAgainWithTheSharedRoot) {
  EXPECT_TRUE(Create({Error(Code::kInternal, kRefused)}));
  EXPECT_THAT(roots_, ElementsAre("/root/c1", "/shared/c1/rootfs"));
  EXPECT_THAT(storages_, ElementsAre("/disk"));
  EXPECT_THAT(reasons_, ElementsAre(kRefused));
  EXPECT_FALSE(layered_.in_use());
}

TEST_F(LayeredRequestTest, WhatMayNotBeSharedIsNotAskedForAgain) {
  may_share_ = false;
  const auto created = Create({Error(Code::kInternal, kRefused)});
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().message(), "its files are elsewhere");
  EXPECT_THAT(roots_, ElementsAre("/root/c1"));
}

TEST_F(LayeredRequestTest, AsksNoThirdTime) {
  const auto created = Create({Error(Code::kInternal, kRefused), Error(Code::kInternal, kRefused)});
  EXPECT_FALSE(created);
  EXPECT_EQ(roots_.size(), 2);
}

TEST_F(LayeredRequestTest, OtherErrorsAreNoReason) {
  const auto created = Create({Error(Code::kInternal, "exec \"/bin/sh\": No such file")});
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().message(), "exec \"/bin/sh\": No such file");
  EXPECT_THAT(roots_, ElementsAre("/root/c1"));
  EXPECT_THAT(reasons_, ElementsAre());
}

TEST_F(LayeredRequestTest, WhatIsSettledHasNoWayBack) {
  layered_.Settle();
  EXPECT_FALSE(Create({Error(Code::kInternal, kRefused)}));
  EXPECT_THAT(roots_, ElementsAre("/root/c1"));
}

}  // namespace
}  // namespace kata::sandbox
