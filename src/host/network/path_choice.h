// SPDX-License-Identifier: Apache-2.0
//
// host/network/path_choice.h - whose a network namespace is, and how a machine may use it.
#pragma once

#include <string>

#include "base/result.h"
#include "host/network/model.h"

namespace kata::network {

enum class NamespaceUse {
  kFree,    // nobody's: its interfaces are for the machine
  kHost,    // that of this process or of the first one
  kShared,  // processes of somebody else live in it
};

struct NamespaceOwner {
  NamespaceUse use = NamespaceUse::kFree;
  std::string inhabitant;   // of a shared one: "4711 (httpd)"
  bool of_machine = false;  // its interfaces lead to a machine already
};

// Errors  the kernel's; processes that end meanwhile are none
Result<NamespaceOwner> WhoseNamespace(int fd, const std::string& proc = "/proc");

// The model for a namespace that is bound at `path`: `wanted`, but frames are only taken where no
// one else would lose them. Pure.
// Errors  kFailedPrecondition  neither way works: another machine has the namespace's interfaces
Result<Model> ChooseModel(Model wanted, const NamespaceOwner& owner, const std::string& path);

}  // namespace kata::network
