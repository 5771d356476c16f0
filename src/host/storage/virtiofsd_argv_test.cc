// SPDX-License-Identifier: Apache-2.0
#include "host/storage/virtiofsd_argv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/storage/testing/virtiofsd_help.h"

namespace kata::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

const VirtiofsdSpec kSpec{
    .program = "/v", .shared_directory = "/share", .run_directory = "/run/x", .extra_args = {}};

std::vector<std::string> Arguments(const VirtiofsdSpec& spec, const char* help) {
  const auto words = VirtiofsdArguments(spec, *ParseVirtiofsdHelp(help), 1024);
  return words ? *words : std::vector<std::string>{words.error().message()};
}

// What `extra` adds to the line.
std::vector<std::string> Added(std::vector<std::string> extra, const char* help) {
  VirtiofsdSpec spec = kSpec;
  spec.extra_args = std::move(extra);
  std::vector<std::string> words = Arguments(spec, help);
  words.erase(words.begin(), words.begin() + static_cast<long>(Arguments(kSpec, help).size()));
  return words;
}

TEST(VirtiofsdArguments, ConfineTheDaemonInItsOwnWords) {
  EXPECT_THAT(Arguments(kSpec, kHelpOfC),
              ElementsAre("/v", "--fd=3", "-o", "source=/share", "-o", "cache=always,timeout=0.1",
                          "-o", "sandbox=namespace", "-o", "xattr", "-o", "announce_submounts",
                          "--thread-pool-size=0", "--rlimit-nofile=1024"));
  EXPECT_THAT(Arguments(kSpec, kHelpOfRust),
              ElementsAre("/v", "--fd=3", "--shared-dir=/share", "--cache=auto", "--log-level=warn",
                          "--inode-file-handles=never", "--sandbox=namespace", "--xattr",
                          "--announce-submounts", "--thread-pool-size=0", "--rlimit-nofile=1024"));
}

TEST(VirtiofsdArguments, KeepACapabilityForAnUpperLayer) {
  VirtiofsdSpec spec = kSpec;
  spec.trusted_attributes = true;
  EXPECT_THAT(Arguments(spec, kHelpOfC), IsSupersetOf({"modcaps=+sys_admin"}));
  EXPECT_THAT(Arguments(spec, kHelpOfRust), IsSupersetOf({"--modcaps=+sys_admin"}));
  spec.extra_args = {"-o", "modcaps=-chown"};
  EXPECT_THAT(Arguments(spec, kHelpOfC), IsSupersetOf({"modcaps=-chown:+sys_admin"}));
  spec.extra_args = {"--modcaps=-chown"};
  EXPECT_THAT(Arguments(spec, kHelpOfRust), IsSupersetOf({"--modcaps=-chown:+sys_admin"}));
}

TEST(VirtiofsdArguments, HaveNoOptionThatTheDaemonDoesNotName) {
  std::string old = kHelpOfRust;
  const size_t begin = old.find("      --inode-file-handles");
  old.erase(begin, old.find("      --cache", begin) - begin);
  for (const std::string& word : Arguments(kSpec, old.c_str())) {
    EXPECT_THAT(word, testing::Not(HasSubstr("file-handles")));
  }
}

TEST(VirtiofsdArguments, TheKindsSpellCacheModesDifferently) {
  VirtiofsdSpec spec = kSpec;
  spec.cache = "never";
  EXPECT_THAT(Arguments(spec, kHelpOfC), IsSupersetOf({"cache=none"}));
  EXPECT_THAT(Arguments(spec, kHelpOfRust), IsSupersetOf({"--cache=never"}));
  spec.cache = "metadata";
  EXPECT_THAT(Arguments(spec, kHelpOfRust), IsSupersetOf({"--cache=metadata"}));
  EXPECT_THAT(
      Arguments(spec, kHelpOfC),
      ElementsAre("virtio_fs_cache = \"metadata\": /v is written in C and has no such mode; "
                  "set virtio_fs_daemon to the one written in Rust, or another mode"));
}

TEST(VirtiofsdArguments, ExtraOnesComeLastInTheDaemonsWords) {
  EXPECT_THAT(Added({"--announce-submounts", "--thread-pool-size=4", "--no-readdirplus",
                     "--cache=never", "--posix-acl"},
                    kHelpOfC),
              ElementsAre("-o", "announce_submounts", "--thread-pool-size=4", "-o",
                          "no_readdirplus", "-o", "cache=none", "-o", "posix_acl"));
  EXPECT_THAT(
      Added({"-o", "writeback,no_readdirplus", "-oxattr", "-o", "cache=none", "-d"}, kHelpOfRust),
      ElementsAre("--writeback", "--no-readdirplus", "--xattr", "--cache=never", "-d"));
}

TEST(VirtiofsdArguments, ExtraOnesThatTheDaemonKnowsStayAsTheyAre) {
  EXPECT_THAT(Added({"-o", "timeout=1,posix_lock", "--rlimit-nofile=3"}, kHelpOfC),
              ElementsAre("-o", "timeout=1", "-o", "posix_lock", "--rlimit-nofile=3"));
  EXPECT_THAT(Added({"--posix-acl=auto", "--modcaps", "-mknod", "-fd"}, kHelpOfRust),
              ElementsAre("--posix-acl=auto", "--modcaps", "-mknod", "-fd"));
}

TEST(VirtiofsdArguments, ExtraOnesThatTheDaemonDoesNotKnowAreItsToRefuse) {
  EXPECT_THAT(Added({"--migration-mode=find-paths", "-o"}, kHelpOfC),
              ElementsAre("--migration-mode=find-paths", "-o"));
  EXPECT_THAT(Added({"-o", "posix_lock", "x"}, kHelpOfRust), ElementsAre("-o", "posix_lock", "x"));
}

TEST(VirtiofsdArguments, ExtraOnesCannotSayWhatIsShared) {
  const std::vector<std::vector<std::string>> cases = {
      {"--shared-dir=/"}, {"--shared-dir", "/"}, {"-o", "xattr,source=/"}, {"-osource=/"},
      {"--fd=4"},         {"--socket-path=/s"},  {"-o", "shared_dir=/"},   {"--xattr", "--fd", "4"},
      {"-dosource=/"},    {"-do", "source=/"},   {"-o=source=/"},
  };
  for (const auto& extra : cases) {
    VirtiofsdSpec spec = kSpec;
    spec.extra_args = extra;
    for (const char* help : {kHelpOfC, kHelpOfRust}) {
      const auto words = VirtiofsdArguments(spec, *ParseVirtiofsdHelp(help), 1024);
      ASSERT_FALSE(words) << extra.back();
      EXPECT_EQ(words.error().code(), Code::kInvalidArgument);
      EXPECT_THAT(words.error().message(), HasSubstr("kata-cpp's own to say"));
    }
  }
}

TEST(VirtiofsdArguments, ExtraOnesBehindAnEmptyListCannotEither) {
  using Words = std::vector<std::string>;
  for (const char* help : {kHelpOfC, kHelpOfRust}) {
    for (const Words& extra : {Words{"-o=", "xattr,source=/"}, Words{"-o", "", "xattr,source=/"},
                               Words{"-do=", "xattr,source=/"}, Words{"-o", "=", "xattr,source=/"},
                               Words{"-o", "-o", "xattr,source=/"}}) {
      VirtiofsdSpec spec = kSpec;
      spec.extra_args = extra;
      EXPECT_FALSE(VirtiofsdArguments(spec, *ParseVirtiofsdHelp(help), 1024)) << extra[0];
    }
  }
}

TEST(VirtiofsdArguments, ExtraOnesHaveNoBackslashes) {
  VirtiofsdSpec spec = kSpec;
  spec.extra_args = {"-o", "sou\\rce=/"};
  EXPECT_THAT(Arguments(spec, kHelpOfC), ElementsAre(HasSubstr("a backslash in \"sou\\rce=/\"")));
}

TEST(WhatFollows, TellsTheDaemonAndWhatItsCacheMeans) {
  const auto of_c = *ParseVirtiofsdHelp(kHelpOfC);
  const auto of_rust = *ParseVirtiofsdHelp(kHelpOfRust);
  EXPECT_EQ(WhatFollows(of_c, "auto"),
            "written in C: what changes on the host is seen within a tenth of a second");
  EXPECT_THAT(WhatFollows(of_rust, "auto"),
              HasSubstr("written in Rust: what changes on the host is "
                        "seen within a second"));
  EXPECT_EQ(WhatFollows(of_rust, "never"), "written in Rust: the guest keeps nothing");
  EXPECT_THAT(WhatFollows(of_c, "always"), HasSubstr("perhaps never seen"));
  EXPECT_THAT(WhatFollows(of_rust, "metadata"), HasSubstr("no pages"));
}

}  // namespace
}  // namespace kata::storage
