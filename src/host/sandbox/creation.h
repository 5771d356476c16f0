// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/creation.h - a container that is being created: what its steps hand to each other,
// and how they are undone.
#pragma once

#include <memory>

#include "base/rollback.h"
#include "host/config/load.h"
#include "host/plan/guest_plan.h"
#include "host/record/phases.h"
#include "host/sandbox/container.h"
#include "host/sandbox/process_io.h"
#include "host/sandbox/sandbox.h"
#include "proto/oci.pb.h"
#include "sys/fd.h"

namespace kata::sandbox {

struct Sandbox::Creation {
  const ContainerRequest& request;
  const config::Loaded& config;
  const Caller& caller;
  Container& container;
  oci::Spec spec = {};  // as the caller gave it
  bool was_booted = false;
  bool makes_pod = false;  // the machine that it makes is a pod's
  std::shared_ptr<ProcessIo> io = nullptr;
  std::string snapshot = {};  // that it goes on from; empty: it begins anew
  bool forked = false;        // by the container's own wish: another one than was saved
  sys::UniqueFd of_caller = {};
  int mount_namespace = -1;  // the one that paths are meant in
  GuestPlan plan = {};
  bool in_guest = false;  // it could not be removed from there
  Phases phases = {};
  Rollback undo = {};  // last: its steps use the others
};

}  // namespace kata::sandbox
