// SPDX-License-Identifier: Apache-2.0
#include "sys/mount_options.h"

#include <sys/mount.h>

#include <algorithm>

namespace kata::sys {
namespace {

constexpr unsigned long kAccessTime = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

struct FlagWord {
  std::string_view word;
  unsigned long set;
  unsigned long clear;
};

constexpr FlagWord kFlagWords[] = {
    {"async", 0, MS_SYNCHRONOUS},
    {"atime", 0, MS_NOATIME},
    {"bind", MS_BIND, 0},
    {"dev", 0, MS_NODEV},
    {"diratime", 0, MS_NODIRATIME},
    {"dirsync", MS_DIRSYNC, 0},
    {"exec", 0, MS_NOEXEC},
    {"iversion", MS_I_VERSION, 0},
    {"lazytime", MS_LAZYTIME, 0},
    {"loud", 0, MS_SILENT},
    {"mand", MS_MANDLOCK, 0},
    {"noatime", MS_NOATIME, MS_RELATIME | MS_STRICTATIME},
    {"nodev", MS_NODEV, 0},
    {"nodiratime", MS_NODIRATIME, 0},
    {"noexec", MS_NOEXEC, 0},
    {"noiversion", 0, MS_I_VERSION},
    {"nolazytime", 0, MS_LAZYTIME},
    {"nomand", 0, MS_MANDLOCK},
    {"norelatime", 0, MS_RELATIME},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"nosuid", MS_NOSUID, 0},
    {"nosymfollow", kNoSymFollow, 0},
    {"rbind", MS_BIND | MS_REC, 0},
    {"relatime", MS_RELATIME, MS_NOATIME | MS_STRICTATIME},
    {"remount", MS_REMOUNT, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"silent", MS_SILENT, 0},
    {"strictatime", MS_STRICTATIME, MS_NOATIME | MS_RELATIME},
    {"suid", 0, MS_NOSUID},
    {"symfollow", 0, kNoSymFollow},
    {"sync", MS_SYNCHRONOUS, 0},
};

struct AttributeWord {
  std::string_view word;
  uint64_t set;
  uint64_t clear;
};

// MOUNT_ATTR__ATIME is a field of its own, not a bit: setting a mode means clearing the field.
constexpr AttributeWord kRecursiveWords[] = {
    {"ratime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"rdev", 0, MOUNT_ATTR_NODEV},
    {"rdiratime", 0, MOUNT_ATTR_NODIRATIME},
    {"rexec", 0, MOUNT_ATTR_NOEXEC},
    {"rnoatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"rnodev", MOUNT_ATTR_NODEV, 0},
    {"rnodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"rnoexec", MOUNT_ATTR_NOEXEC, 0},
    {"rnorelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"rnostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"rnosuid", MOUNT_ATTR_NOSUID, 0},
    {"rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"rrelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"rro", MOUNT_ATTR_RDONLY, 0},
    {"rrw", 0, MOUNT_ATTR_RDONLY},
    {"rstrictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"rsuid", 0, MOUNT_ATTR_NOSUID},
    {"rsymfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

struct PropagationWord {
  std::string_view word;
  unsigned long flag;
};

constexpr PropagationWord kPropagationWords[] = {
    {"private", MS_PRIVATE},
    {"rprivate", MS_PRIVATE | MS_REC},
    {"rshared", MS_SHARED | MS_REC},
    {"rslave", MS_SLAVE | MS_REC},
    {"runbindable", MS_UNBINDABLE | MS_REC},
    {"shared", MS_SHARED},
    {"slave", MS_SLAVE},
    {"unbindable", MS_UNBINDABLE},
};

struct AttributeOfFlag {
  unsigned long flag;
  uint64_t attribute;
};

constexpr AttributeOfFlag kAttributes[] = {
    {MS_RDONLY, MOUNT_ATTR_RDONLY},         {MS_NOSUID, MOUNT_ATTR_NOSUID},
    {MS_NODEV, MOUNT_ATTR_NODEV},           {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME}, {kNoSymFollow, MOUNT_ATTR_NOSYMFOLLOW},
};

}  // namespace

bool MountOptions::bind() const { return (flags & MS_BIND) != 0; }
bool MountOptions::read_only() const { return (flags & MS_RDONLY) != 0; }

void MountOptions::Add(std::string_view word) {
  if (word.empty() || word == "defaults") return;
  for (const FlagWord& entry : kFlagWords) {
    if (entry.word != word) continue;
    flags = (flags & ~entry.clear) | entry.set;
    cleared = (cleared & ~entry.set) | entry.clear;
    return;
  }
  for (const AttributeWord& entry : kRecursiveWords) {
    if (entry.word != word) continue;
    recursive_set = (recursive_set & ~entry.clear) | entry.set;
    // A field that is set needs its old value cleared; a bit must not be in both.
    recursive_clear = (recursive_clear & ~entry.set) | entry.clear;
    return;
  }
  if (const unsigned long flag = PropagationFlag(word); flag != 0) {
    propagation.push_back(flag);
    return;
  }
  if (word == "tmpcopyup") {
    copy_up = true;
    return;
  }
  if (word == "idmap" || word == "ridmap") {
    id_mapped = true;
    return;
  }
  if (!data.empty()) data += ',';
  data += word;
}

std::vector<std::string_view> MountOptionWords() {
  std::vector<std::string_view> words{"defaults", "idmap", "ridmap", "tmpcopyup"};
  for (const FlagWord& entry : kFlagWords) words.push_back(entry.word);
  for (const AttributeWord& entry : kRecursiveWords) words.push_back(entry.word);
  for (const PropagationWord& entry : kPropagationWords) words.push_back(entry.word);
  std::ranges::sort(words);
  return words;
}

unsigned long PropagationFlag(std::string_view word) {
  for (const PropagationWord& entry : kPropagationWords) {
    if (entry.word == word) return entry.flag;
  }
  return 0;
}

MountAttributes AttributesOf(const MountOptions& options) {
  MountAttributes attributes;
  for (const AttributeOfFlag& entry : kAttributes) {
    if (options.flags & entry.flag) attributes.set |= entry.attribute;
    if (options.cleared & entry.flag & ~static_cast<unsigned long>(MS_RDONLY)) {
      attributes.clear |= entry.attribute;
    }
  }
  if (options.flags & kAccessTime) {
    attributes.clear |= MOUNT_ATTR__ATIME;
    if (options.flags & MS_NOATIME) attributes.set |= MOUNT_ATTR_NOATIME;
    if (options.flags & MS_STRICTATIME) attributes.set |= MOUNT_ATTR_STRICTATIME;
  } else if (options.cleared & MS_NOATIME) {
    attributes.clear |= MOUNT_ATTR__ATIME;
  }
  return attributes;
}

}  // namespace kata::sys
