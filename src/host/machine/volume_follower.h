// SPDX-License-Identifier: Apache-2.0
//
// host/machine/volume_follower.h - volumes that Kubernetes rewrites while containers have them, as
// copies in the guest that follow.
//
// A directory that is shared shows its changes too, but a guest's kernel hears of none of them: no
// inotify event comes to a program that waits for its new configuration. What is done to a copy is
// done in the guest, with all events. The host's own kernel says when there is something to do.
// Basis: inotify(7); Kubernetes' pkg/volume/util/atomic_writer.go.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/storage/source_tree.h"
#include "sys/change_watch.h"
#include "sys/fd.h"

namespace kata::sandbox {

// Where copies are.
struct CopyTarget {
  std::function<Result<void>(const agent::GuestFile&)> copy;
  std::function<Result<void>(const std::vector<std::string>&)> remove;
};
CopyTarget CopiesIn(std::shared_ptr<agent::AgentClient> agent);

// The volumes of one machine. Safe from every thread. One thread follows, from the first volume on;
// a call to a guest that does not answer holds back the others of its machine.
class VolumeFollower {
 public:
  VolumeFollower() = default;
  VolumeFollower(const VolumeFollower&) = delete;
  VolumeFollower& operator=(const VolumeFollower&) = delete;
  // Blocks as Stop().
  ~VolumeFollower() { Stop(); }

  // Begins to watch `volume`, if that is a directory which Kubernetes rewrites (its link ..data
  // leads to a directory beside it), which the container may only read, and which is not larger
  // than what may be copied (volume_copy.h). The path of its copy in the guest, the container's
  // alone; empty: it is to be shared. `mount_namespace` as that of ReadVolume.
  std::string Watch(const std::string& container_id, const storage::Volume& volume,
                    int mount_namespace) KATA_EXCLUDES(mutex_);
  // Copies what is watched for a container, and follows it from then on. Blocks as `target` does.
  Result<void> Deliver(const std::string& container_id, const CopyTarget& target)
      KATA_EXCLUDES(mutex_);
  // Follows nothing of a container any more, and has the copies removed in a while.
  void Forget(const std::string& container_id) KATA_EXCLUDES(mutex_);
  // Forgets all; copies stay. Waits for what a target is doing. Not for several threads at a time.
  void Stop() KATA_EXCLUDES(mutex_);

 private:
  struct Volume {
    std::string container_id;
    std::string source;
    std::string path;    // of the copy
    sys::UniqueFd tree;  // its mount, which stays as long as this
    int watch = -1;
    std::vector<agent::GuestFile> files;  // as first read, until they are delivered
    CopyTarget target;                    // from then on
    // Of the thread that follows.
    std::vector<agent::GuestFile> copied = {};
    bool failed = false;
  };
  using Item = std::shared_ptr<Volume>;
  using Items = std::vector<Item>;

  Result<void> Begin() KATA_REQUIRES(mutex_);
  Result<std::string> TryWatch(const std::string& container_id, const storage::Volume& volume,
                               int mount_namespace) KATA_EXCLUDES(mutex_);
  void Run(const sys::Inotify& inotify) KATA_EXCLUDES(mutex_);
  // Those that may have changed.
  Items TakeDue(const sys::Inotify::Events& events) KATA_EXCLUDES(mutex_);
  static void FollowOne(Volume& volume);
  void RemoveForgotten() KATA_EXCLUDES(mutex_);
  void Wake() const;

  sys::UniqueFd wakeup_;  // like the thread, made once until Stop()
  std::atomic<bool> stopping_ = false;
  std::atomic<unsigned> count_ = 0;  // of volumes so far
  std::thread thread_;

  Mutex mutex_;
  std::unique_ptr<const sys::Inotify> inotify_ KATA_GUARDED_BY(mutex_);
  Items watched_ KATA_GUARDED_BY(mutex_);  // not delivered yet
  Items followed_ KATA_GUARDED_BY(mutex_);
  Items begun_ KATA_GUARDED_BY(mutex_);      // may have changed since they were read
  Items forgotten_ KATA_GUARDED_BY(mutex_);  // to be removed in the guest
};

}  // namespace kata::sandbox
