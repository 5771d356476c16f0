// SPDX-License-Identifier: Apache-2.0
#include "host/plan/pod_files.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kata::sandbox {
namespace {

constexpr const char* kLocalHosts =
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n";

using DnsWords = google::protobuf::RepeatedPtrField<std::string>;

Result<void> CheckDnsWords(const DnsWords& words) {
  for (const std::string& word : words) {
    if (std::ranges::none_of(word, [](char c) { return static_cast<unsigned char>(c) < ' '; })) {
      continue;
    }
    return Fail(Code::kInvalidArgument, "dns_config: a word with a control character in it");
  }
  return {};
}

Result<std::string> ResolverFile(const cri::DnsConfig& dns) {
  std::string text;
  for (const DnsWords* words : {&dns.servers(), &dns.searches(), &dns.options()}) {
    KATA_TRY(CheckDnsWords(*words));
  }
  if (!dns.searches().empty()) text += fmt::format("search {}\n", fmt::join(dns.searches(), " "));
  for (const std::string& server : dns.servers()) text += fmt::format("nameserver {}\n", server);
  if (!dns.options().empty()) text += fmt::format("options {}\n", fmt::join(dns.options(), " "));
  return text;
}

}  // namespace

Result<std::map<std::string, std::string>> PlanPodFiles(const cri::PodSandboxConfig& config,
                                                        const std::string& resolver) {
  std::map<std::string, std::string> files;
  if (!config.hostname().empty()) files["/etc/hostname"] = config.hostname() + "\n";
  files["/etc/hosts"] = kLocalHosts;
  const std::string own = KATA_TRY(ResolverFile(config.dns_config()));
  files["/etc/resolv.conf"] = own.empty() ? resolver : own;
  return files;
}

void AddPodFiles(const std::map<std::string, std::string>& sources, oci::Spec* spec) {
  for (const auto& [destination, source] : sources) {
    const bool there = std::ranges::any_of(spec->mounts(), [&](const oci::Mount& mount) {
      return mount.destination() == destination;
    });
    if (there) continue;
    oci::Mount& mount = *spec->add_mounts();
    mount.set_destination(destination);
    mount.set_source(source);
    mount.set_type("bind");
    mount.add_options("rbind");
    mount.add_options("rprivate");
    mount.add_options(spec->root().readonly() ? "ro" : "rw");
  }
}

}  // namespace kata::sandbox
