// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/members.h - which containers a sandbox has, and what may happen to it next: the one
// authority over its life.
//
// A container:
//
//   BeginCreate ─> waiting ─> creating ──Keep──> created ──BeginDelete──> deleting ──Remove──> gone
//                     │           │ Abandon, or its caller has gone: Keep fails
//                     └───────────┴─────────────────Remove───────────────────────────────────> gone
//
// The sandbox:
//
//   serving <──MachineEnded──┐
//      ├── the only container goes, or its creation is abandoned, or LoseMachine ──> ending:
//      │   creations wait
//      └── BeginShutdown ──> over: creations are refused
//
// Whoever is told that the machine is to end (Remove) ends it and says so (MachineEnded). Nobody
// else makes or ends one meanwhile.
//
// A pod of containerd's sandbox API has its machine without any container (pod_life.h): it holds
// the sandbox, whose machine then ends with the hold and no container.
//
// Safe from every thread. No lock is held while anything else is done.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/sandbox/container.h"

namespace kata::sandbox {

class Members {
 public:
  // Whether the caller of a Create still waits for its answer. Quick; asked under the lock.
  using Wanted = std::function<bool()>;

  // Takes the id of a container that is to be made. Waits while the machine of earlier ones ends.
  // Keep and Remove are for whoever has called this, and one of them succeeds; `wanted` lives until
  // then.
  // Errors  kAlreadyExists  a container has this id
  //         kUnavailable    the sandbox has been shut down; nothing was taken
  Result<void> BeginCreate(const std::shared_ptr<Container>& container, Wanted wanted)
      KATA_EXCLUDES(mutex_);
  // To be asked before and after each slow step of a creation.
  // Errors  kCancelled    its caller has gone, or somebody deletes what is being created
  //         kUnavailable  the machine that it was to be in has not started
  Result<void> CheckWanted(const std::string& id) const KATA_EXCLUDES(mutex_);
  // It has been created; others can find it from here on.
  // Errors  kCancelled  as above: it is to be undone
  Result<void> Keep(const std::string& id) KATA_EXCLUDES(mutex_);

  // The machine has not started, for whichever creation: all that are under way are to be undone
  // before another one begins.
  void LoseMachine() KATA_EXCLUDES(mutex_);

  // Nobody wants it any more.
  enum class Abandoned {
    kNothing,         // is being created under this name
    kWithMachine,     // nobody wants anything else of the machine: it ends as well
    kWithoutMachine,  // others do
  };
  Abandoned Abandon(const std::string& id) KATA_EXCLUDES(mutex_);
  // Returns when the creation of this name has been undone.
  void AwaitUndone(const std::string& id) KATA_EXCLUDES(mutex_);

  // Errors  kNotFound            no such container
  //         kFailedPrecondition  it is being created
  Result<std::shared_ptr<Container>> Find(const std::string& id) const KATA_EXCLUDES(mutex_);
  // Those that Find would find.
  std::vector<std::shared_ptr<Container>> All() const KATA_EXCLUDES(mutex_);
  bool empty() const KATA_EXCLUDES(mutex_);
  // Those that are being made as well.
  size_t size() const KATA_EXCLUDES(mutex_);

  // Begins to delete a container that was created. True: it is the only one, the machine will end
  // with it.
  bool BeginDelete(const std::string& id) KATA_EXCLUDES(mutex_);
  // It has gone, whichever way. True: it was the last one; the caller ends the machine and calls
  // MachineEnded().
  [[nodiscard]] bool Remove(const std::string& id) KATA_EXCLUDES(mutex_);
  void MachineEnded() KATA_EXCLUDES(mutex_);

  // A pod is to have the machine; containers are refused until OpenHold.
  // Errors  kFailedPrecondition  there are containers
  //         kUnavailable         the sandbox has been shut down
  Result<void> Hold() KATA_EXCLUDES(mutex_);
  // Nothing has come of it.
  void DropHold() KATA_EXCLUDES(mutex_);
  void OpenHold() KATA_EXCLUDES(mutex_);
  // Containers are refused from here on, with kFailedPrecondition, and those that are being made
  // are no longer wanted. AwaitQuiet() is to follow.
  void EndHold() KATA_EXCLUDES(mutex_);
  bool held() const KATA_EXCLUDES(mutex_);

  // `now`: whatever there is. Else only where nothing is that anybody wants.
  enum class Shutdown {
    kRefused,  // there are containers, or a pod
    kBegun,    // by this call: its caller does the rest, and calls ShutdownDone()
    kDone,     // by an earlier one; returns when that is done
  };
  Shutdown BeginShutdown(bool now) KATA_EXCLUDES(mutex_);
  // Returns when every creation has been undone and every deletion has ended.
  void AwaitQuiet() KATA_EXCLUDES(mutex_);
  // Takes all that is left.
  std::vector<std::shared_ptr<Container>> TakeAll() KATA_EXCLUDES(mutex_);
  void ShutdownDone() KATA_EXCLUDES(mutex_);

 private:
  enum class Life { kServing, kEnding, kOver };
  enum class Held { kNot, kClosed, kOpen, kEnded };
  enum class Stage { kWaiting, kCreating, kCreated, kDeleting };
  struct Member {
    std::shared_ptr<Container> container;
    Wanted wanted;
    Stage stage = Stage::kWaiting;
    bool abandoned = false;

    bool being_made() const { return stage == Stage::kWaiting || stage == Stage::kCreating; }
    bool is_wanted() const { return !abandoned && (!being_made() || wanted()); }
  };

  // Whether something besides `id` has the machine, or is about to.
  bool AnyBut(const std::string& id) const KATA_REQUIRES(mutex_);
  Result<void> CheckHold() const KATA_REQUIRES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;  // a member has gone, or life_ has changed
  Life life_ KATA_GUARDED_BY(mutex_) = Life::kServing;
  Held held_ KATA_GUARDED_BY(mutex_) = Held::kNot;
  bool shut_down_ KATA_GUARDED_BY(mutex_) = false;  // kOver has done its work
  std::map<std::string, Member> members_ KATA_GUARDED_BY(mutex_);
};

}  // namespace kata::sandbox
