// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/hooks.h"

#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sys/files.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using testing::HasSubstr;

class HooksTest : public testing::Test {
 protected:
  void SetUp() override {
    spec_.set_version("1.2.0");
    (*spec_.mutable_annotations())["a"] = "b\"";
  }

  static void Add(google::protobuf::RepeatedPtrField<oci::Hook>* hooks, const std::string& script,
                  int64_t timeout = 0) {
    oci::Hook* hook = hooks->Add();
    hook->set_path("/bin/sh");
    for (const std::string& word : {std::string("hook"), std::string("-c"), script}) {
      hook->add_args(word);
    }
    hook->add_env("WORD=from-env");
    hook->set_timeout(timeout);
  }
  HookRunner Runner() const { return HookRunner("c1", bundle_, spec_); }
  std::string Read(const std::string& name) const {
    return sys::ReadFile(bundle_ + "/" + name, 65536).value_or("missing");
  }

  const sys::TemporaryDir temporary_{"hooks"};
  const std::string bundle_ = temporary_.path();
  oci::Spec spec_;
};

TEST_F(HooksTest, GetTheStateTheirArgumentsAndTheirEnvironment) {
  Add(spec_.mutable_hooks()->mutable_create_runtime(), "cat > state; echo $0 $WORD $HOME > said");
  const auto done = Runner().RunCreate(42);
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(Read("said"), "hook from-env\n");
  const auto state = nlohmann::json::parse(Read("state"));
  EXPECT_EQ(state["ociVersion"], "1.2.0");
  EXPECT_EQ(state["id"], "c1");
  EXPECT_EQ(state["status"], "creating");
  EXPECT_EQ(state["pid"], 42);
  EXPECT_EQ(state["bundle"], bundle_);
  EXPECT_EQ(state["annotations"]["a"], "b\"");
}

TEST_F(HooksTest, RunInTheOrderOfTheSpecification) {
  oci::Hooks* hooks = spec_.mutable_hooks();
  Add(hooks->mutable_create_container(), "echo create-container >> order");
  Add(hooks->mutable_create_runtime(), "echo create-runtime >> order");
  Add(hooks->mutable_prestart(), "echo prestart >> order");
  Add(hooks->mutable_prestart(), "echo prestart2 >> order");
  Add(hooks->mutable_poststart(), "echo poststart >> order");
  Add(hooks->mutable_poststop(), "echo poststop >> order; cat >> order");
  const HookRunner runner = Runner();
  ASSERT_TRUE(runner.RunCreate(1));
  ASSERT_TRUE(runner.RunPoststart(1));
  runner.RunPoststop();
  EXPECT_THAT(Read("order"), HasSubstr("prestart\nprestart2\ncreate-runtime\ncreate-container\n"
                                       "poststart\npoststop\n"));
  EXPECT_THAT(Read("order"), HasSubstr("\"stopped\""));
}

TEST_F(HooksTest, AFailureEndsTheCreationAndTellsWhatTheHookSaid) {
  Add(spec_.mutable_hooks()->mutable_prestart(), "echo not today >&2; exit 7");
  Add(spec_.mutable_hooks()->mutable_prestart(), "touch second");
  const auto done = Runner().RunCreate(1);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("error running prestart hook #0: "));
  EXPECT_THAT(done.error().message(), HasSubstr("exit status 7"));
  EXPECT_THAT(done.error().message(), HasSubstr("not today"));
  EXPECT_EQ(Read("second"), "missing");
}

TEST_F(HooksTest, AFailureAfterTheStartIsToldToo) {
  Add(spec_.mutable_hooks()->mutable_poststart(), "exit 3");
  const auto done = Runner().RunPoststart(1);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("error running poststart hook #0: "));
}

TEST_F(HooksTest, AHookThatIsMissingIsAnError) {
  spec_.mutable_hooks()->add_create_runtime()->set_path("/no/such/hook");
  const auto done = Runner().RunCreate(1);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("/no/such/hook"));
}

TEST_F(HooksTest, ATimeoutKillsTheHook) {
  Add(spec_.mutable_hooks()->mutable_prestart(), "exec sleep 1000", 1);
  const auto done = Runner().RunCreate(1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kDeadlineExceeded);
}

TEST_F(HooksTest, LaterHooksRunAlthoughOneFails) {
  Add(spec_.mutable_hooks()->mutable_poststop(), "exit 1");
  Add(spec_.mutable_hooks()->mutable_poststop(), "touch second");
  Runner().RunPoststop();
  EXPECT_EQ(Read("second"), "");
}

TEST_F(HooksTest, AStateLargerThanAPipeArrives) {
  (*spec_.mutable_annotations())["large"] = std::string(1 << 20, 'x');
  Add(spec_.mutable_hooks()->mutable_prestart(), "sleep 0; cat | wc -c > size");
  ASSERT_TRUE(Runner().RunCreate(1));
  EXPECT_GT(std::stoul(Read("size")), 1UL << 20);
}

}  // namespace
}  // namespace kata::sandbox
