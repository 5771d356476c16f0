// SPDX-License-Identifier: Apache-2.0
//
// host/machine/template_build.h - making the template of a configuration, and having it made.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/config/load.h"
#include "host/factory/template_store.h"
#include "sys/event_loop.h"

namespace kata::sandbox {

// Boots the VM, saves it when its agent answers, and publishes it. Returns the template that was
// there already, if there is one by the time that other builders have finished. `loop` runs on
// another thread. `progress` is told what begins.
// Errors  kFailedPrecondition  such machines cannot be copied
//         kUnimplemented       the guest's agent is not ours
//         kResourceExhausted   no space on the disk
Result<factory::TemplateInfo> BuildTemplate(const config::Loaded& config, sys::EventLoop& loop,
                                            std::function<void(std::string_view)> progress);

// Starts this same program to do that in the background, in these cgroups, with low priority.
Result<void> StartTemplateBuild(const config::Loaded& config,
                                const std::vector<std::string>& cgroup_dirs);

// What StartTemplateBuild writes for the program's standard input: the annotations of the
// configuration, and their way back.
std::string FormatAnnotations(const std::map<std::string, std::string>& annotations);
Result<std::map<std::string, std::string>> ParseAnnotations(const std::string& text);

}  // namespace kata::sandbox
