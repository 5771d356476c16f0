// SPDX-License-Identifier: Apache-2.0
#include "upper/attributes.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace kata::upper {
namespace {

constexpr mode_t kModeBits = 07777;
constexpr uint32_t kLastNanosecond = 999'999'999;

// What the kernel keeps about inodes of the layers' own file systems.
constexpr std::array<std::string_view, 5> kOfOneFileSystem = {
    "trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.nlink",
    "trusted.overlay.upper", "trusted.overlay.uuid"};

constexpr std::string_view kOfOverlays = "trusted.overlay.";
constexpr std::string_view kOpaque = "trusted.overlay.opaque";

// Whatever a guest says: of overlayfs's own, "redirect" and "metacopy" would show other files of
// the host's layers.
bool MayBeSet(std::string_view name) {
  if (name.starts_with(kOfOverlays)) return name == kOpaque;
  return name.starts_with("user.") || name.starts_with("trusted.") ||
         name == "security.capability" || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

Result<void> RemoveOthers(const std::string& path, const Entry& entry) {
  for (const std::string& name : KATA_TRY(AttributeNames(path))) {
    const auto same = [&](const Attribute& each) { return each.name() == name; };
    if (!IsPortable(name) || std::ranges::any_of(entry.attributes(), same)) continue;
    if (::lremovexattr(path.c_str(), name.c_str()) != 0 && errno != ENODATA && !NotTaken(errno)) {
      return FailErrno("remove extended attribute", name);
    }
  }
  return {};
}

// The owner first: giving a file away takes its id bits, and capabilities.
Result<void> GiveTo(const std::string& path, const Entry& entry) {
  if (::lchown(path.c_str(), entry.uid(), entry.gid()) != 0) return FailErrno("chown");
  if (S_ISLNK(entry.mode())) return {};
  if (::chmod(path.c_str(), entry.mode() & kModeBits) != 0) return FailErrno("chmod");
  return {};
}

}  // namespace

Result<std::vector<std::string>> AttributeNames(const std::string& path) {
  std::string list(XATTR_LIST_MAX, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), list.data(), list.size());
  if (size < 0 && errno == EOPNOTSUPP) return std::vector<std::string>();
  if (size < 0) return FailErrno("list extended attributes");
  std::vector<std::string> names;
  for (size_t at = 0; at < static_cast<size_t>(size); at += names.back().size() + 1) {
    names.emplace_back(&list[at]);
  }
  return names;
}

bool NotTaken(int cause) { return cause == EOPNOTSUPP || cause == EPERM || cause == EACCES; }

bool IsPortable(std::string_view attribute) {
  return std::ranges::find(kOfOneFileSystem, attribute) == kOfOneFileSystem.end();
}

bool Later(const timespec& one, const timespec& other) {
  return one.tv_sec != other.tv_sec ? one.tv_sec > other.tv_sec : one.tv_nsec > other.tv_nsec;
}

bool SameTime(const timespec& one, const timespec& other) {
  return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

Result<void> ReadAttributes(const std::string& path, const struct stat& status, Entry* entry) {
  entry->set_mode(status.st_mode);
  entry->set_uid(status.st_uid);
  entry->set_gid(status.st_gid);
  entry->set_accessed_s(status.st_atim.tv_sec);
  entry->set_accessed_ns(static_cast<uint32_t>(status.st_atim.tv_nsec));
  entry->set_modified_s(status.st_mtim.tv_sec);
  entry->set_modified_ns(static_cast<uint32_t>(status.st_mtim.tv_nsec));
  for (const std::string& name : KATA_TRY(AttributeNames(path))) {
    if (!IsPortable(name)) continue;
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    // It is not shown to everybody who may list it.
    if (size < 0 && (errno == ENODATA || NotTaken(errno))) continue;
    if (size < 0) return FailErrno("read extended attribute", name);
    value.resize(static_cast<size_t>(size));
    Attribute& added = *entry->add_attributes();
    added.set_name(name);
    added.set_value(std::move(value));
  }
  return {};
}

Result<uint64_t> WriteAttributes(const std::string& path, const Entry& entry) {
  KATA_TRY(GiveTo(path, entry));
  KATA_TRY(RemoveOthers(path, entry));
  uint64_t lost = 0;
  for (const Attribute& each : entry.attributes()) {
    const std::string& value = each.value();
    if (!MayBeSet(each.name())) {
      ++lost;
    } else if (::lsetxattr(path.c_str(), each.name().c_str(), value.data(), value.size(), 0) != 0) {
      if (!NotTaken(errno) && errno != EINVAL)
        return FailErrno("set extended attribute", each.name());
      ++lost;
    }
  }
  const timespec times[2] = {AccessedOf(entry), ModifiedOf(entry)};
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno("set times");
  }
  return lost;
}

timespec AccessedOf(const Entry& entry) {
  return {.tv_sec = entry.accessed_s(),
          .tv_nsec = static_cast<long>(std::min(entry.accessed_ns(), kLastNanosecond))};
}

timespec ModifiedOf(const Entry& entry) {
  return {.tv_sec = entry.modified_s(),
          .tv_nsec = static_cast<long>(std::min(entry.modified_ns(), kLastNanosecond))};
}

}  // namespace kata::upper
