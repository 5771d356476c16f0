// SPDX-License-Identifier: Apache-2.0
#include "oci/runtime_error.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace kata::oci {
namespace {

Error Missing() {
  return Error::FromErrnoWorded(ENOENT, "exec: \"x\": executable file not found in $PATH");
}

TEST(ShimError, ReadsAsRuncsDoes) {
  EXPECT_EQ(AsShimError(Step::kCreate, Missing()).message(),
            "OCI runtime create failed: runc create failed: unable to start container process: "
            "exec: \"x\": executable file not found in $PATH");
  EXPECT_EQ(AsShimError(Step::kExec, Missing()).message(),
            "OCI runtime exec failed: exec failed: unable to start container process: "
            "exec: \"x\": executable file not found in $PATH");
  EXPECT_EQ(AsShimError(Step::kStart, Error(Code::kUnavailable, "the sandbox has ended")).message(),
            "OCI runtime start failed: the sandbox has ended");
  EXPECT_EQ(AsShimError(Step::kExec, Missing()).code(), Code::kUnknown);
}

TEST(ShimError, LosesWhatTheCommandLineSaysItself) {
  for (const Step step : {Step::kCreate, Step::kExec}) {
    EXPECT_EQ(WithoutShimWords(step, AsShimError(step, Missing())).message(),
              "unable to start container process: " + Missing().message());
  }
  EXPECT_EQ(WithoutShimWords(Step::kStart, AsShimError(Step::kStart, Missing())).message(),
            Missing().message());
  const Error other(Code::kAlreadyExists, "container \"c1\" already exists");
  EXPECT_EQ(WithoutShimWords(Step::kCreate, other).message(), other.message());
  EXPECT_EQ(WithoutShimWords(Step::kCreate, other).code(), Code::kAlreadyExists);
}

}  // namespace
}  // namespace kata::oci
