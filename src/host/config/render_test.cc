// SPDX-License-Identifier: Apache-2.0
#include "host/config/render.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"

namespace kata::config {
namespace {

using testing::HasSubstr;

std::string InSourceTree(const std::string& path) {
  const auto text = sys::ReadFile(std::string(KATA_SOURCE_DIR) + "/" + path);
  return text ? *text : "cannot read " + path;
}

constexpr const char* kHint = "run scripts/update-config-reference";

TEST(RenderReference, IsWhatTheDocumentationHolds) {
  EXPECT_THAT(InSourceTree("docs/configuration.md"), HasSubstr(RenderReference())) << kHint;
}

TEST(RenderDefaultFile, IsTheFileThatIsInstalled) {
  EXPECT_EQ(InSourceTree("src/host/config/configuration.toml"), RenderDefaultFile()) << kHint;
}

TEST(RenderDefaultFile, LoadsAndChangesNothingEvenWithoutItsCommentMarks) {
  std::string text = RenderDefaultFile();
  for (size_t at = text.find("\n#"); at != text.npos; at = text.find("\n#", at + 1)) {
    if (text[at + 2] != ' ' && text[at + 2] != '\n') text.erase(at + 1, 1);
  }
  const auto settings = ReadToml(text, "default");
  ASSERT_TRUE(settings) << settings.error().message();
  EXPECT_GT(settings->size(), 35u);
  Loaded loaded;
  loaded.host = {.cpus = 4, .memory_mib = 8192};
  for (const Setting& setting : *settings) {
    // Empty stands for "search it" or "all" and is what these keys have anyway.
    if (setting.value == Value(std::string())) continue;
    const auto applied = ApplySettings({setting}, &loaded);
    EXPECT_TRUE(applied) << applied.error().message();
  }
  EXPECT_TRUE(loaded.warnings.empty());
  Loaded untouched;
  untouched.host = loaded.host;
  loaded.sources.clear();
  EXPECT_EQ(RenderEffective(loaded), RenderEffective(untouched));
}

TEST(RenderEffective, ShowsEachValueWithItsOrigin) {
  const auto settings = ReadToml("[hypervisor.qemu]\ndefault_memory = 512\n", "/etc/c.toml");
  ASSERT_TRUE(settings);
  Loaded loaded;
  ASSERT_TRUE(ApplySettings(*settings, &loaded));
  const std::string text = RenderEffective(loaded);
  EXPECT_THAT(text, testing::ContainsRegex("default_memory = 512 +# /etc/c.toml:2\n"));
  EXPECT_THAT(text, testing::ContainsRegex("memory_slots = 10 +# built in\n"));
  EXPECT_TRUE(ReadToml(text, "effective"));
}

}  // namespace
}  // namespace kata::config
