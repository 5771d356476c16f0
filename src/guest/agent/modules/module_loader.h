// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/modules/module_loader.h - kernel modules into the running kernel.
//
// A module's initialisation runs inside the call that loads it and may take its time, so none of
// this is for the agent's own thread: it is done in child processes, or in the process that the
// kernel starts as its modprobe.
// Basis: finit_module(2); kernel Documentation/admin-guide/sysctl/kernel.rst "modprobe".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/agent/modules/module_tree.h"

namespace kata::guest {

// Loads what `wanted` resolves to, of several at least one; what is loaded already is success.
// `parameters` ("name=value", separated by blanks) go to the module itself.
// Errors  kNotFound            no such module in the tree
//         kFailedPrecondition  the kernel refuses it
Result<void> LoadModule(const ModuleTree& tree, std::string_view wanted,
                        const std::string& parameters = {});

// Loads the modules of `modules.boot`, makes the device files of drivers that load when one is
// opened, and tells the kernel whom to ask for others. In a child process that is given `kPatience`
// at most. Returns what failed, one line each; nothing where the kernel loads no modules.
// Needs /dev, /proc and /sys.
std::string LoadBootModules();

// The program that the kernel calls for a module: argv is "/sbin/modprobe -q -- NAME
// [NAME=VALUE...]". Returns its exit status, 0 when the module is there.
int ModprobeMain(int argc, char** argv);
// Whether this process was called by that name.
bool IsModprobe(int argc, char** argv);

}  // namespace kata::guest
