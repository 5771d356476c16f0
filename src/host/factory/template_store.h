// SPDX-License-Identifier: Apache-2.0
//
// factory/template_store.h - saved VMs on the disk, from which others begin.
//
//   <root>/<name>/manifest.json  what it is: key, sizes, checksums; for programs and people
//   <root>/<name>/memory         the guest's memory, sparse
//   <root>/<name>/state/         devices and processors, in the VMM's files
//
// <name> is made from the key, which says all that must be the same for a VM to begin here; the
// rest is as in store_folder.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "host/factory/memory_image.h"
#include "host/factory/state_files.h"
#include "host/factory/store_folder.h"
#include "sys/fd.h"

namespace kata::factory {

struct TemplateInfo {
  std::string name;
  std::string key;
  uint32_t memory_mib = 0;
  int64_t created = 0;  // seconds since 1970
  MemoryImage memory;
  uint64_t state_bytes = 0;
  uint64_t state_checksum = 0;
};

struct Template {
  TemplateInfo info;
  sys::UniqueFd memory;  // read and write, so that a VMM can map it privately
  StateFiles state;
};

// What a build adds to the store.
struct TemplateContent {
  std::string key;
  uint32_t memory_mib = 0;
  int memory = -1;  // a file of that size
  std::string state_folder;
};

class TemplateStore {
 public:
  explicit TemplateStore(std::string root)
      : folder_(std::move(root), "templates", "template_path") {}

  // The template for `key`, its state checked, its memory only looked at: LoadMemory() checks that.
  // Notes that it was used.
  // Errors  kNotFound          there is none
  //         kDataLoss          it is damaged, or of a later version
  //         kPermissionDenied  others than this user could have written it
  Result<Template> Open(const std::string& key) const;
  // All that can be read, the last used first.
  Result<std::vector<TemplateInfo>> List() const;
  // Of the disk, all that belongs to the template; its name is NameOf(key).
  Result<void> Remove(const std::string& name) const { return folder_.Remove(name); }

  // The right to build, held by the descriptor; none while another process has it.
  Result<std::optional<sys::UniqueFd>> TryLock() const { return folder_.TryLock(); }
  Result<sys::UniqueFd> Lock(Deadline deadline) const { return folder_.Lock(deadline); }
  // Only with the lock: an empty directory for a VM's state. Publish() removes it, and so does the
  // next builder.
  Result<std::string> MakeStateFolder() const { return folder_.MakeFolder(".new-state"); }
  // Only with the lock. Replaces what has the same key, and removes all but the last used few.
  // Errors  kResourceExhausted  no space on the disk; nothing was changed
  Result<TemplateInfo> Publish(const TemplateContent& content) const;

  // After a failure, nobody tries again for ten minutes. Logs what it cannot write.
  void NoteFailure(const std::string& key, const std::string& reason) const {
    folder_.NoteFailure(NameOf(key), reason);
  }
  bool FailedLately(const std::string& key) const { return folder_.FailedLately(NameOf(key)); }
  // The reasons of all of them.
  std::vector<std::string> Failures() const { return folder_.Failures(); }

  static std::string NameOf(const std::string& key);
  const std::string& root() const { return folder_.root(); }

 private:
  Result<TemplateInfo> ReadInfo(const std::string& name) const;
  void Prune() const;

  const StoreFolder folder_;
};

// The manifest, without files.
std::string FormatManifest(const TemplateInfo& info);
// Errors  kDataLoss
Result<TemplateInfo> ParseManifest(const std::string& text);

}  // namespace kata::factory
