// SPDX-License-Identifier: Apache-2.0
//
// cli/host.h - facts about this machine. Functions with a `root` read below that directory, so that
// a folder can stand for a machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace kata::cli {

struct Cpu {
  std::string model;           // "" when the kernel does not say
  std::string virtualization;  // "vmx", "svm" or ""
};
Cpu ReadCpu(const std::string& root);

struct Memory {
  int64_t total_mib = 0;
  int64_t available_mib = 0;
};
Memory ReadMemory(const std::string& root);

struct Cgroups {
  std::string layout;  // "v1", "v2", "hybrid" or "none"
  std::vector<std::string> v1_controllers;
  std::vector<std::string> v2_controllers;
};
Cgroups ReadCgroups(const std::string& root);

std::string KernelRelease();

struct Space {
  uint64_t free_bytes = 0;
  uint64_t free_inodes = 0;  // UINT64_MAX where the file system has no limit
};
Result<Space> FreeSpace(const std::string& directory);

// What `<program> --version` prints: its first number such as "7.2.22".
// Errors  those of starting it; kDeadlineExceeded after ten seconds; kUnknown without a number
Result<std::string> ProgramVersion(const std::string& program);

// The leading whole number of a version; 0 without one.
int MajorVersion(const std::string& version);

// The release in the "Linux version ..." text of a vmlinux; nullopt where there is none to see, as
// in a compressed kernel.
std::optional<std::string> GuestKernelRelease(const std::string& path);

}  // namespace kata::cli
