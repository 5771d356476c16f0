// SPDX-License-Identifier: Apache-2.0
//
// sys/testing/file_bytes.h - bytes at places of a file, for tests.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

namespace kata::sys::testing {

inline void Put(int fd, off_t at, const std::string& text) {
  ASSERT_EQ(::pwrite(fd, text.data(), text.size(), at), static_cast<ssize_t>(text.size()));
}

inline std::string Get(int fd, off_t at, size_t size) {
  std::string text(size, '\0');
  EXPECT_EQ(::pread(fd, text.data(), size, at), static_cast<ssize_t>(size));
  return text;
}

}  // namespace kata::sys::testing
