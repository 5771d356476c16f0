// SPDX-License-Identifier: Apache-2.0
#include "sys/fs_context.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "sys/mount_options.h"
#include "sys/mounts.h"

namespace kata::sys {
namespace {

struct FlagOfAll {
  unsigned long flag;
  const char* key;
};

// What every file system takes beside the options of its own.
constexpr FlagOfAll kFlagsOfAll[] = {
    {MS_RDONLY, "ro"},     {MS_SYNCHRONOUS, "sync"},  {MS_DIRSYNC, "dirsync"},
    {MS_MANDLOCK, "mand"}, {MS_LAZYTIME, "lazytime"},
};

Result<void> SetOwn(FsContext& context, const std::string& word) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos) return context.SetFlag(word);
  return context.SetString(word.substr(0, equals), word.substr(equals + 1));
}

// One message a read(2), "e overlay: words\n" for an error.
std::string ReadLog(int fd) {
  constexpr size_t kLongestMessage = 1024;
  constexpr size_t kMostMessages = 16;  // the kernel keeps half of that
  std::string log;
  std::array<char, kLongestMessage> message;
  for (size_t count = 0; count < kMostMessages; ++count) {
    const ssize_t size = RetryOnEintr([&] { return ::read(fd, message.data(), message.size()); });
    if (size <= 0) break;
    std::string_view text(message.data(), static_cast<size_t>(size));
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (text.size() > 2 && text[1] == ' ') text.remove_prefix(2);
    if (!log.empty()) log += "; ";
    log += text;
  }
  return log;
}

}  // namespace

Result<FsContext> FsContext::Open(const std::string& type) {
  UniqueFd fd(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!fd && errno == ENODEV) {
    return Fail(Code::kUnimplemented, fmt::format("the kernel has no file system \"{}\"", type));
  }
  if (!fd) return FailErrno("fsopen", type);
  return FsContext(std::move(fd), type);
}

Result<FsContext> FsContext::Pick(const std::string& path) {
  UniqueFd fd(::fspick(AT_FDCWD, path.c_str(), FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT));
  if (!fd) return FailErrno("fspick", path);
  return FsContext(std::move(fd), path);
}

Error FsContext::Failure(std::string_view operation, int cause) {
  const std::string log = ReadLog(fd_.get());
  Error error = Error::FromErrno(operation, what_, cause);
  if (log.empty()) return error;
  return Error::FromErrnoWorded(cause, fmt::format("{} ({})", error.message(), log));
}

Result<void> FsContext::SetString(const std::string& key, const std::string& value) {
  if (value.size() > kMaxValue) {
    return Fail(Code::kInvalidArgument, fmt::format("{}: {} of {} characters, more than {}", what_,
                                                    key, value.size(), kMaxValue));
  }
  if (::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) != 0) {
    const int cause = errno;
    return std::unexpected(Failure(fmt::format("set {}={} of", key, value), cause));
  }
  return {};
}

Result<void> FsContext::SetFlag(const std::string& key) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) != 0) {
    const int cause = errno;
    return std::unexpected(Failure(fmt::format("set {} of", key), cause));
  }
  return {};
}

Result<UniqueFd> FsContext::MakeMount(uint64_t attributes) {
  if (::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    const int cause = errno;
    return std::unexpected(Failure("make file system", cause));
  }
  UniqueFd mount(::fsmount(fd_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount) {
    const int cause = errno;
    return std::unexpected(Failure("mount", cause));
  }
  return mount;
}

Result<void> FsContext::Reconfigure() {
  if (::fsconfig(fd_.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0) {
    const int cause = errno;
    return std::unexpected(Failure("reconfigure", cause));
  }
  return {};
}

Result<void> MountNew(const std::string& type, const std::string& source,
                      std::span<const std::string> words, const std::string& target) {
  FsContext context = KATA_TRY(FsContext::Open(type));
  KATA_TRY(context.SetString("source", source));
  MountOptions known;
  for (const std::string& word : words) {
    // By itself: a word of the file system's own may hold anything, commas, too.
    MountOptions one;
    one.Add(word);
    if (one.data.empty()) {
      known.Add(word);
    } else {
      KATA_TRY(SetOwn(context, word));
    }
  }
  for (const FlagOfAll& entry : kFlagsOfAll) {
    if ((known.flags & entry.flag) != 0) KATA_TRY(context.SetFlag(entry.key));
  }
  return BindMount(KATA_TRY(context.MakeMount(AttributesOf(known).set)), target, known);
}

}  // namespace kata::sys
