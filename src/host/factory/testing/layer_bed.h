// SPDX-License-Identifier: Apache-2.0
//
// factory/testing/layer_bed.h - for tests of layers: a file system of their own, and programs in
// the place of mkfs.erofs. Wants root.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "host/factory/layer_key.h"

namespace kata::factory {

class LayerBed : public ::testing::Test {
 protected:
  // A mount namespace of the test program's own.
  static void SetUpTestSuite();
  LayerBed();
  ~LayerBed() override;

  // A few files, directories and others in `layer_`.
  void FillLayer() const;
  // The layer's key, taken when the clock by which files are stamped has moved on.
  LayerKey Key() const;
  // Has `script` (of /bin/sh; "$REAL" is the real program, "$BED" the test's directory) run as
  // mkfs.erofs until the test ends.
  void ReplaceProgram(const std::string& script) const;
  std::string ReadBed(const std::string& name) const;

  const std::string bed_;  // a tmpfs
  const std::string layer_ = bed_ + "/layer";
  const std::string store_root_ = bed_ + "/store";
  const std::string path_before_;
};

}  // namespace kata::factory
