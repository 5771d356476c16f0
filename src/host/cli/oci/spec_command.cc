// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime spec and features.
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "host/cli/command.h"
#include "host/cli/oci/command.h"
#include "oci/features.h"
#include "sys/files.h"

namespace kata::cli::oci {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kSpecFlags = {
    Flag{"bundle", 'b', true, "directory to write config.json to", "DIR"},
    Flag{"rootless", '\0', false, "without meaning here: every container is root in its machine"},
};

Json Mount(const char* destination, const char* type, const char* source,
           std::initializer_list<const char*> options) {
  Json mount = {{"destination", destination}, {"type", type}, {"source", source}};
  if (options.size() > 0)
    mount["options"] = std::vector<std::string>(options.begin(), options.end());
  return mount;
}

Json ExampleProcess() {
  const Json capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  return {
      {"terminal", true},
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"args", {"sh"}},
      {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}},
      {"cwd", "/"},
      {"capabilities",
       {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
      {"rlimits", Json::array({{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}})},
      {"noNewPrivileges", true}};
}

Json ExampleMounts() {
  return Json::array(
      {Mount("/proc", "proc", "proc", {}),
       Mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
       Mount("/dev/pts", "devpts", "devpts",
             {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
       Mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
       Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
       Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
       Mount("/sys/fs/cgroup", "cgroup", "cgroup",
             {"nosuid", "noexec", "nodev", "relatime", "ro"})});
}

Json ExampleSpec() {
  Json namespaces = Json::array();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"}) {
    namespaces.push_back({{"type", type}});
  }
  return {{"ociVersion", "1.2.0"},
          {"process", ExampleProcess()},
          {"root", {{"path", "rootfs"}, {"readonly", true}}},
          {"hostname", "kata"},
          {"mounts", ExampleMounts()},
          {"linux",
           {{"resources", {{"devices", Json::array({{{"allow", false}, {"access", "rwm"}}})}}},
            {"namespaces", namespaces},
            {"maskedPaths",
             {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
              "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
              "/proc/scsi"}},
            {"readonlyPaths",
             {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}}};
}

Result<int> Spec(const Globals&, const Arguments& arguments) {
  const std::string bundle = arguments.Get("bundle");
  const std::string path = bundle.empty() ? "config.json" : bundle + "/config.json";
  if (sys::Exists(path)) {
    return Fail(Code::kAlreadyExists, "File config.json exists. Remove it first");
  }
  KATA_TRY(sys::WriteFile(path, ExampleSpec().dump(1, '\t'), 0666));
  return 0;
}

Result<int> Features(const Globals&, const Arguments&) {
  const std::string features = kata::oci::FormatFeatures(
      {{"org.katacontainers.cpp.version", kVersion}, {"org.katacontainers.cpp.commit", kRevision}},
      4);
  KATA_TRY(Print(features + "\n"));
  return 0;
}

}  // namespace

const Command kSpec{.name = "spec",
                    .words = "",
                    .summary = "write an example of a bundle's config.json",
                    .examples = "  kata-runtime spec --bundle web  web/config.json\n",
                    .flags = kSpecFlags,
                    .min_words = 0,
                    .max_words = 0,
                    .run = Spec};
const Command kFeatures{
    .name = "features",
    .words = "",
    .summary = "print what this runtime implements, as JSON",
    .examples = "  kata-runtime features | jq .linux.namespaces  one part of it\n",
    .min_words = 0,
    .max_words = 0,
    .run = Features};

}  // namespace kata::cli::oci
