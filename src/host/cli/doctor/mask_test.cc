// SPDX-License-Identifier: Apache-2.0
#include "host/cli/doctor/mask.h"

#include <gtest/gtest.h>

namespace kata::cli::doctor {
namespace {

const Names kNames{.hosts = {"build7.corp.example", "build7"}, .users = {"alice", "bo"}};

std::string Masked(std::string_view text) { return Mask(text, kNames); }

struct MaskCase {
  const char* text;
  const char* masked;
};

TEST(Mask, TakesValuesOfSecretKeys) {
  for (const MaskCase& each : {
           MaskCase{"PASSWORD=hunter2 next", "PASSWORD=<secret> next"},
           MaskCase{"db_password: hunter2", "db_password: <secret>"},
           MaskCase{R"({"auth": "dXNlcjpwYXNz", "a": 1})", R"({"auth": "<secret>", "a": 1})"},
           MaskCase{R"({"identitytoken":"abc"})", R"({"identitytoken":"<secret>"})"},
           MaskCase{"api-key = \"x y\"", "api-key = \"<secret>\""},
           MaskCase{"run --token abc --other x", "run --token <secret> --other x"},
           MaskCase{"Authorization: Bearer abc def", "Authorization: <secret>"},
           MaskCase{"AWS_SECRET_ACCESS_KEY=abc/def+g", "AWS_SECRET_ACCESS_KEY=<secret>"},
           MaskCase{"Set-Cookie: a=b; c=d", "Set-Cookie: <secret>"},
       }) {
    EXPECT_EQ(Masked(each.text), each.masked);
  }
}

TEST(Mask, TakesCredentialsOutOfAddresses) {
  EXPECT_EQ(Masked("proxy=http://joe:pass@proxy.example:3128/x"),
            "proxy=http://<secret>@proxy.example:3128/x");
  EXPECT_EQ(Masked("https://token@git.example/a https://git.example/b"),
            "https://<secret>@git.example/a https://git.example/b");
  EXPECT_EQ(Masked("http://a:p@ss@host/"), "http://<secret>@host/");
}

TEST(Mask, TakesKeysAndCertificates) {
  EXPECT_EQ(Masked("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb"),
            "a\n<secret>\nb");
  EXPECT_EQ(Masked("a -----BEGIN OPENSSH PRIVATE KEY-----\ncut off"), "a <secret>");
}

TEST(Mask, TakesTokensByTheirLook) {
  EXPECT_EQ(Masked("push ghp_abcdefghijklmnopqrstuvwxyz012345 now"), "push <secret> now");
  EXPECT_EQ(Masked("key AKIAIOSFODNN7EXAMPLE."), "key <secret>.");
  EXPECT_EQ(Masked("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"), "<secret>");
  EXPECT_EQ(Masked("sk-short"), "sk-short");
}

TEST(Mask, TakesNamesOfTheHostAndItsUsers) {
  EXPECT_EQ(Masked("build7 kernel: kvm on BUILD7.corp.example (build77)"),
            "<host> kernel: kvm on <host> (build77)");
  EXPECT_EQ(Masked("/home/alice/vm, alice2"), "/home/<user>/vm, alice2");
  // Too short: it would be taken out of half of the words.
  EXPECT_EQ(Masked("bo"), "bo");
}

TEST(Mask, TakesAddressesButThoseThatSayNothing) {
  EXPECT_EQ(Masked("from 10.1.2.3:5000 to 10.1.2.0/24."), "from <address>:5000 to <address>/24.");
  EXPECT_EQ(Masked("fe80::1%eth0 ::1 :: 127.0.0.1 0.0.0.0 192.0.2.1"),
            "<address>%eth0 ::1 :: 127.0.0.1 0.0.0.0 192.0.2.1");
  EXPECT_EQ(Masked("mac 52:54:00:12:34:56, at 12:34:56"), "mac <mac>, at 12:34:56");
}

TEST(Mask, TakesIds) {
  EXPECT_EQ(Masked("uuid 123e4567-e89b-12d3-a456-426614174000"), "uuid <id>");
  EXPECT_EQ(Masked("/var/log/0123456789abcdef0123456789abcdef/x"), "/var/log/<id>/x");
}

TEST(Mask, LeavesWhatHelps) {
  for (const char* text :
       {"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)",
        "kernel = \"/usr/share/kata-containers/vmlinux.container\"  # found on this host",
        "kvm: no hardware support", "default_memory = 2048", "6.12.30+deb12-cloud-amd64",
        "enable_template = true         # /etc/kata-containers/config.d/a.toml:2",
        "note     warm machines   the service kata-factory does not run: starts are copies",
        "{\n  \"ok\": true,\n  \"phases\": []\n}\n", "flags: vmx svm", "author = \"x\""}) {
    EXPECT_EQ(Masked(text), text);
  }
}

}  // namespace
}  // namespace kata::cli::doctor
