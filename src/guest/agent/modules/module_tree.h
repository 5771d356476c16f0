// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/modules/module_tree.h - the modules of one kernel: names, aliases, what needs what.
//
// Reads what depmod(8) writes, as modprobe(8) reads it: modules.dep, modules.alias,
// modules.builtin, and modules.devname; and modules.boot, which guest-image/build-initrd writes.
// `-` and `_` are the same in names. Soft dependencies are not followed: the kernel asks again for
// what a module wants. Basis: modules.dep(5), depmod(8), modprobe(8).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kata::guest {

// A device file that a driver serves although no device is there yet: opening it loads the driver.
struct DeviceName {
  std::string path;  // below /dev
  bool block = false;
  unsigned major = 0;
  unsigned minor = 0;
};

// The files of one module, behind those that it depends on.
using LoadPlan = std::vector<std::string>;

class ModuleTree {
 public:
  // `directory`  /lib/modules/<release>
  // Errors  kNotFound  no such folder: the kernel loads no modules
  static Result<ModuleTree> Open(std::string directory);
  // That of the running kernel.
  static Result<ModuleTree> OpenRunning();

  // What to load for a module's name or an alias ("fs-overlay", "rtnl-link-veth"): one plan, or as
  // many as modules answer to the alias. Empty where it is built in.
  // Errors  kNotFound  neither a module nor an alias of one
  Result<std::vector<LoadPlan>> Resolve(std::string_view wanted) const;

  // False for a folder that only tells what is built in.
  bool LoadsModules() const { return !dependencies_.empty(); }
  bool BuiltIn(std::string_view module) const;
  // What is to be loaded before the agent serves, by name, in order.
  std::vector<std::string> BootModules() const;
  std::vector<DeviceName> DeviceNames() const;

 private:
  explicit ModuleTree(std::string directory) : directory_(std::move(directory)) {}
  bool AddPlan(std::string_view module, std::vector<LoadPlan>* plans) const;

  std::string directory_;
  std::string dependencies_;  // the files' texts
  std::string aliases_;
  std::string built_in_;
};

// The name that the kernel gives a module: without folder and endings, with `_` for `-`.
std::string ModuleName(std::string_view file);

}  // namespace kata::guest
