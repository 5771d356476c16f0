// SPDX-License-Identifier: Apache-2.0
//
// cli/doctor/support_bundle.h - what others need to help: one file to look into and to send.
//
// All of it goes through Mask(). Nothing of containers, their environment or files is in it, nor
// this process's environment, nor configuration of other programs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/cli/doctor/mask.h"
#include "sys/fd.h"

namespace kata::cli::doctor {

// The files of a bundle: path in it, content.
using BundleFiles = std::map<std::string, std::string>;

struct BundleSources {
  std::string program;                    // kata-runtime
  std::string config;                     // as given on the command line; may be empty
  std::vector<std::string> config_files;  // those in effect
  std::vector<std::string> programs;      // whose --version is told
  std::string shim_log;                   // of the doctor's container
  std::string text;                       // the result
  std::string json;
};

// Reads what is to be in it; what cannot be read says so in its file.
// Errors  kCancelled  `cancel` became readable
Result<BundleFiles> CollectBundle(const BundleSources& sources, const Names& names, int cancel);

// Lines about virtual machines of a kernel's log, at most the last 300.
std::string KernelLines(const std::string& log);

// A file that is to become a bundle, mode 0600. Removed unless Write() succeeds.
class BundleFile {
 public:
  // Errors  kAlreadyExists  there is a file of that name
  static Result<BundleFile> Make(const std::string& path);
  BundleFile(BundleFile&& other) noexcept;
  BundleFile& operator=(BundleFile&&) = delete;
  ~BundleFile();

  // A tar archive, compressed by gzip, with the files below "kata-runtime-doctor/".
  Result<void> Write(const BundleFiles& files, int cancel);

 private:
  BundleFile(std::string path, sys::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  sys::UniqueFd fd_;
};

}  // namespace kata::cli::doctor
