// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/container.h - one container: its bundle, its first process and its execs.
//
// Safe from every thread. Holds state only; sandbox.cc acts.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/call_queue.h"
#include "base/mutex.h"
#include "base/result.h"
#include "host/machine/guest_container.h"
#include "host/plan/saved_container.h"
#include "host/record/timing.h"
#include "host/sandbox/hooks.h"
#include "host/sandbox/process.h"
#include "proto/oci.pb.h"
#include "sys/fuse_tree.h"

namespace kata::sandbox {

class Container {
 public:
  Container(std::string id, std::string bundle) : id_(std::move(id)), bundle_(std::move(bundle)) {}

  const std::string& id() const { return id_; }
  const std::string& bundle() const { return bundle_; }

  // Before others can find the container.
  void SetInit(std::shared_ptr<Process> init);
  // `exec_id` empty: the first process.
  // Errors  kNotFound  no such exec
  Result<std::shared_ptr<Process>> Find(const std::string& exec_id) const;

  // Errors  kAlreadyExists
  //         kFailedPrecondition  the container is being deleted
  Result<void> AddExec(std::shared_ptr<Process> exec);
  void RemoveExec(const std::string& exec_id);
  // All execs, and then the first process: with its end, engines forget execs whose end they have
  // not heard of, and their callers wait for ever.
  std::vector<std::shared_ptr<Process>> Processes() const;
  // The same, the last time: no exec is added from here on.
  std::vector<std::shared_ptr<Process>> Close();

  bool paused() const;
  void SetPaused(bool paused);

  // Updates of its limits, in whose order the guest has to see them.
  CallQueue& updates() { return updates_; }

  // Set once, while the container is created; read when it exists in the guest.
  void SetHooks(HookRunner hooks) { hooks_ = std::move(hooks); }
  const HookRunner& hooks() const { return hooks_; }

  // Where the time of its start went; Create's part is set while it is created.
  StartTiming timing;

  // Set once, while the container is created: what the host does when its files have been brought
  // back from the guest; empty where they are not there.
  std::function<void()> on_files_back;

  // Of its root file system: layers whose images are to be made once it has started.
  std::vector<std::string> layers_to_build;

  // What a snapshot of it has to know, and where it goes on from one, what that said; set while it
  // is created.
  SavedBy saved_by;
  SavedProgram program;
  std::optional<SavedContainer> restored;

  // The /proc that the host shows of the container, until the container goes.
  void SetProc(std::shared_ptr<sys::FuseServer> server) { proc_ = std::move(server); }

  // What the host does for the container, from its creation to its removal; null after it was
  // taken. What SetGuest returns is for who creates the container.
  GuestContainer& SetGuest(std::unique_ptr<GuestContainer> guest);
  std::unique_ptr<GuestContainer> TakeGuest();

 private:
  const std::string id_;
  const std::string bundle_;
  HookRunner hooks_;
  std::shared_ptr<sys::FuseServer> proc_;
  CallQueue updates_;

  mutable Mutex mutex_;
  std::shared_ptr<Process> init_ KATA_GUARDED_BY(mutex_);
  std::unique_ptr<GuestContainer> guest_ KATA_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<Process>> execs_ KATA_GUARDED_BY(mutex_);
  bool paused_ KATA_GUARDED_BY(mutex_) = false;
  bool closed_ KATA_GUARDED_BY(mutex_) = false;
};

}  // namespace kata::sandbox
