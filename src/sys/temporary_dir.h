// SPDX-License-Identifier: Apache-2.0
//
// sys/temporary_dir.h - a directory for one test.
#pragma once

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::sys {

// Made with the object, and removed with it and with all that is in it.
class TemporaryDir {
 public:
  explicit TemporaryDir(const std::string& word) : path_(::testing::TempDir() + word + "-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "mkdtemp " << path_;
  }
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  ~TemporaryDir() { EXPECT_TRUE(RemoveTree(path_)); }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace kata::sys
