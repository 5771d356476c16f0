// SPDX-License-Identifier: Apache-2.0
#include "host/storage/overlay_table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::storage {
namespace {

std::unexpected<Error> Unsuitable(std::string reason) {
  return Fail(Code::kUnimplemented, std::move(reason));
}

// The parts between separators that no backslash stands before; backslashes stay.
std::vector<std::string> SplitUnescaped(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == separator) {
      parts.emplace_back();
      continue;
    }
    parts.back() += text[i];
    if (text[i] == '\\' && i + 1 < text.size()) parts.back() += text[++i];
  }
  return parts;
}

std::string WithoutBackslashes(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain += text[i];
  }
  return plain;
}

// Collects options, and what of them a second overlay could not be given.
class Reader {
 public:
  explicit Reader(const OverlayDefaults& defaults) : defaults_(defaults) {}

  // `value` as mount(2) takes it.
  Result<void> Take(const std::string& name, const std::string& value);
  Result<OverlayTable> Finish() &&;

 private:
  Result<void> TakeLowers(const std::string& value);

  OverlayDefaults defaults_;
  OverlayTable table_;
};

Result<void> Reader::TakeLowers(const std::string& value) {
  for (const std::string& part : SplitUnescaped(value, ':')) {
    // "::" stands before layers that have data only.
    if (part.empty()) return Unsuitable("it has layers of data only");
    table_.lowers.push_back(WithoutBackslashes(part));
  }
  return {};
}

Result<void> Reader::Take(const std::string& name, const std::string& value) {
  if (name == "lowerdir") return TakeLowers(value);
  if (name == "lowerdir+") {
    table_.lowers.push_back(value);
  } else if (name == "upperdir" || name == "workdir") {
    // Kernels differ in what a backslash means here.
    if (value.find('\\') != std::string::npos) {
      return Unsuitable(fmt::format("a backslash is in {}={}", name, value));
    }
    (name == "upperdir" ? table_.upper : table_.work) = value;
  } else if (name == "ro") {
    table_.read_only = true;
  } else if (name == "redirect_dir") {
    defaults_.redirect_dir = value == "on" || value == "follow";
  } else if (name == "metacopy") {
    defaults_.metacopy = value == "on";
  } else if (name == "index") {
    defaults_.index = value == "on";
  } else if (constexpr std::array<std::string_view, 4> kOther = {"userxattr", "datadir+", "uidmap",
                                                                 "gidmap"};
             std::ranges::find(kOther, name) != kOther.end() ||
             (name == "verity" && value != "off")) {
    return Unsuitable(fmt::format("it is mounted with {}", name));
  }
  return {};
}

Result<OverlayTable> Reader::Finish() && {
  // Kernels say "on" of every one without an upper directory, where it means to follow only.
  if (defaults_.redirect_dir && !table_.upper.empty())
    return Unsuitable("it is mounted with redirect_dir=on");
  if (defaults_.metacopy) return Unsuitable("it is mounted with metacopy=on");
  if (defaults_.index) return Unsuitable("it is mounted with index=on");
  if (table_.lowers.empty()) return Unsuitable("its lower directories are not known");
  if (table_.upper.empty() != table_.work.empty()) {
    return Unsuitable("one of upper and work directory is not known");
  }
  return std::move(table_);
}

std::pair<std::string, std::string> SplitOption(std::string_view option) {
  const size_t equals = option.find('=');
  if (equals == std::string_view::npos) return {std::string(option), ""};
  return {std::string(option.substr(0, equals)), std::string(option.substr(equals + 1))};
}

Result<std::string> RealDirectory(const std::string& path, const std::string& base) {
  if (!path.starts_with('/') && base.empty()) {
    return Unsuitable(fmt::format("\"{}\" is relative to an unknown directory", path));
  }
  const std::string whole = path.starts_with('/') ? path : fmt::format("{}/{}", base, path);
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(whole.c_str(), nullptr),
                                                         &std::free);
  if (!real) return Unsuitable(Error::FromErrno("realpath", whole).message());
  struct stat status{};
  if (::stat(real.get(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Unsuitable(fmt::format("\"{}\" is no directory", whole));
  }
  return std::string(real.get());
}

std::string ParentDirectory(const std::string& path) { return path.substr(0, path.rfind('/')); }

bool IsOn(const std::string& parameters, const char* name) {
  const auto value = sys::ReadFile(fmt::format("{}/{}", parameters, name));
  return value && value->starts_with('Y');
}

using Identity = std::pair<dev_t, ino_t>;

Result<Identity> IdentityOf(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return Unsuitable(Error::FromErrno("stat", path).message());
  }
  return Identity(status.st_dev, status.st_ino);
}

std::vector<std::string> DirectoriesOf(const OverlayTable& table) {
  std::vector<std::string> all = table.lowers;
  if (!table.upper.empty()) all.insert(all.end(), {table.upper, table.work});
  return all;
}

Result<std::vector<Identity>> IdentitiesOf(const OverlayTable& table) {
  std::vector<Identity> identities;
  for (const std::string& path : DirectoriesOf(table)) {
    identities.push_back(KATA_TRY(IdentityOf(path)));
  }
  return identities;
}

// The entry of the mount that `directory` is the root of.
Result<sys::MountInfo> WholeOverlayAt(const std::string& directory) {
  struct statx status{};
  if (::statx(AT_FDCWD, directory.c_str(), 0, STATX_MNT_ID, &status) != 0) {
    return Unsuitable(Error::FromErrno("statx", directory).message());
  }
  if ((status.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) {
    return Unsuitable("it is a directory, no mount of its own");
  }
  const auto mounts = KATA_TRY(sys::ReadMountInfo("/proc/thread-self/mountinfo"));
  const auto id = static_cast<int>(status.stx_mnt_id);
  const auto found = std::ranges::find(mounts, id, &sys::MountInfo::id);
  if (found == mounts.end()) return Unsuitable("it is not in the mount table");
  if (found->type != "overlay") return Unsuitable(fmt::format("it is of type {}", found->type));
  if (found->root != "/") return Unsuitable("it is a part of an overlay");
  if (found->options.find("idmapped") != std::string::npos) {
    return Unsuitable("its ids are mapped");
  }
  if (std::ranges::find(mounts, id, &sys::MountInfo::parent_id) != mounts.end()) {
    return Unsuitable("other mounts are below it");
  }
  return *found;
}

struct Seen {
  OverlayTable table;
  std::vector<Identity> directories;
};

// As a process of the mount namespace sees it.
Result<Seen> LookAt(const std::string& directory) {
  const sys::MountInfo mount = KATA_TRY(WholeOverlayAt(directory));
  // Engines that shorten paths work in the directory of all their containers: <there>/<id>/merged.
  const std::string base = ParentDirectory(ParentDirectory(mount.mount_point));
  OverlayTable table =
      KATA_TRY(ParseOverlaySuperOptions(mount.super_options, ReadOverlayDefaults()));
  table = KATA_TRY(ResolveOverlay(table, base));
  const Identity root = KATA_TRY(IdentityOf(directory));
  const Identity top =
      KATA_TRY(IdentityOf(table.upper.empty() ? table.lowers.front() : table.upper));
  // The root of an overlay has the inode number of its top directory.
  if (root.second != top.second) return Unsuitable("its directories are others by now");
  auto directories = KATA_TRY(IdentitiesOf(table));
  return Seen{std::move(table), std::move(directories)};
}

}  // namespace

OverlayDefaults ReadOverlayDefaults(const std::string& parameters) {
  return {.redirect_dir = IsOn(parameters, "redirect_dir"),
          .metacopy = IsOn(parameters, "metacopy"),
          .index = IsOn(parameters, "index")};
}

Result<OverlayTable> ParseOverlayOptions(const std::vector<std::string>& options,
                                         const OverlayDefaults& defaults) {
  Reader reader(defaults);
  for (const std::string& option : options) {
    for (const std::string& word : SplitUnescaped(option, ',')) {
      const auto [name, value] = SplitOption(word);
      KATA_TRY(reader.Take(name, value));
    }
  }
  return std::move(reader).Finish();
}

Result<OverlayTable> ParseOverlaySuperOptions(std::string_view options,
                                              const OverlayDefaults& defaults) {
  Reader reader(defaults);
  while (!options.empty()) {
    // A comma in a value is an octal number here.
    const size_t end = std::min(options.find(','), options.size());
    const auto [name, value] = SplitOption(options.substr(0, end));
    KATA_TRY(reader.Take(name, sys::UnescapeMountInfo(value)));
    options.remove_prefix(std::min(end + 1, options.size()));
  }
  return std::move(reader).Finish();
}

Result<OverlayTable> ResolveOverlay(const OverlayTable& table, const std::string& base) {
  OverlayTable resolved{.lowers = {}, .upper = {}, .work = {}, .read_only = table.read_only};
  for (const std::string& lower : table.lowers) {
    resolved.lowers.push_back(KATA_TRY(RealDirectory(lower, base)));
  }
  if (table.upper.empty()) return resolved;
  resolved.upper = KATA_TRY(RealDirectory(table.upper, base));
  resolved.work = KATA_TRY(RealDirectory(table.work, base));
  if (ParentDirectory(resolved.upper) != ParentDirectory(resolved.work)) {
    return Unsuitable(
        fmt::format("\"{}\" and \"{}\" are not in one directory", resolved.upper, resolved.work));
  }
  return resolved;
}

Result<OverlayTable> FindOverlay(const std::string& directory, int mount_namespace) {
  std::optional<Seen> seen;
  const auto look = [&]() -> Result<void> {
    seen = KATA_TRY(LookAt(directory));
    return {};
  };
  if (mount_namespace < 0) {
    KATA_TRY(look());
  } else {
    KATA_TRY(sys::RunInMountNamespace(mount_namespace, look));
  }
  if (KATA_TRY(IdentitiesOf(seen->table)) != seen->directories) {
    return Unsuitable("its directories are others in the namespace of this process");
  }
  return std::move(seen->table);
}

}  // namespace kata::storage
