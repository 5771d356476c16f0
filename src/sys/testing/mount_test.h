// SPDX-License-Identifier: Apache-2.0
//
// sys/testing/mount_test.h - tests with real mounts, each in a mount namespace of its own, which
// hears of nobody and tells nobody. They need root, and are skipped without.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sys/mounts.h"

namespace kata::sys::testing {

class MountTest : public ::testing::Test {
 protected:
  // What else a test needs is made in SetUpMounts(), which may skip it, too.
  void SetUp() final {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_TRUE(SetPropagation("/", MS_PRIVATE | MS_REC));
    SetUpMounts();
  }
  virtual void SetUpMounts() {}
};

}  // namespace kata::sys::testing
