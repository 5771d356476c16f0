// SPDX-License-Identifier: Apache-2.0
#include "host/factory/layer_build.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/rollback.h"
#include "sys/files.h"
#include "sys/process.h"

namespace kata::factory {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr char kProgram[] = "mkfs.erofs";
constexpr uint64_t kSmallEntries = 64;
constexpr uint64_t kSmallBytes = 1 << 20;
constexpr auto kProbeTime = seconds(10);
constexpr auto kWaitForOthers = minutes(5);
constexpr auto kWalkTime = minutes(2);
constexpr auto kBuildTime = minutes(10);
// What changes within one tick of the kernel's clock may get the same time twice.
constexpr auto kTick = milliseconds(40);
// Version 1.5 takes 5.2 KiB an entry.
constexpr uint64_t kMemoryOfProgram = 256 << 20;
constexpr uint64_t kMemoryOfEntry = 8 << 10;
constexpr uint64_t kMostMemory = uint64_t{2} << 30;
constexpr size_t kToldOfFailure = 512;
constexpr int kOldestMajor = 1;
constexpr int kOldestMinor = 5;

// What an entry takes besides its content: inode, name, rest of a block, extended attributes.
constexpr uint64_t kBytesOfEntry = 4608;
constexpr uint64_t kBytesOfImage = 64 << 10;

uint64_t MostBytes(const LayerKey& key) {
  return key.bytes + key.entries * kBytesOfEntry + kBytesOfImage;
}

uint64_t MemoryFor(const LayerKey& key) {
  return std::min(kMemoryOfProgram + key.entries * kMemoryOfEntry, kMostMemory);
}

Result<std::string> Locate(const std::string& root) {
  if (auto found = sys::FindExecutable(kProgram)) return found;
  // A service's $PATH may lack the administrator's programs.
  for (const char* directory : {"/usr/bin", "/usr/sbin", "/usr/local/bin", "/sbin"}) {
    std::string path = fmt::format("{}{}/{}", root, directory, kProgram);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return Fail(Code::kNotFound,
              "no mkfs.erofs on this host; install erofs-utils (apt-get install erofs-utils)");
}

// "mkfs.erofs 1.5", "mkfs.erofs (erofs-utils) 1.8.6".
std::string VersionIn(std::string_view text) {
  const size_t line = text.find("mkfs.erofs ");
  if (line == std::string_view::npos) return {};
  text = text.substr(line, text.substr(line).find('\n'));
  const size_t begin = text.find_first_of("0123456789");
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  return std::string(text.substr(0, text.find_first_not_of("0123456789.")));
}

bool IsNewEnough(std::string_view version) {
  int major = 0;
  int minor = 0;
  const char* const end = version.data() + version.size();
  const auto [point, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc() || point == end) return false;
  std::from_chars(point + 1, end, minor);
  return std::pair(major, minor) >= std::pair(kOldestMajor, kOldestMinor);
}

// The key as the image's UUID.
std::string UuidOf(const LayerKey& key) {
  const std::string_view digits = key.name;
  return fmt::format("{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4),
                     digits.substr(12, 4), digits.substr(16, 4), digits.substr(20, 12));
}

std::string Tail(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.size() > kToldOfFailure) text = text.substr(text.size() - kToldOfFailure);
  return std::string(text);
}

// The layer's key, once its last change is so old that the next one gets another time.
Result<LayerKey> SettledKey(const std::string& directory) {
  const Deadline deadline = Deadline::After(kWalkTime);
  for (;;) {
    const auto begin = system_clock::now().time_since_epoch();
    auto key = KATA_TRY(Fingerprint(directory, deadline));
    const auto age = begin - nanoseconds(key.newest_change);
    // One of the future is of a clock that was set back: the next change gets another time.
    if (age >= kTick || age < -kTick) return key;
    if (deadline.Passed()) return Fail(Code::kAborted, "it changes all the time");
    std::this_thread::sleep_for(kTick);
  }
}

Result<LayerImage> BuildLocked(const LayerStore& store, const LayerKey& key) {
  const std::string image = KATA_TRY(store.Begin(key, MostBytes(key)));
  Rollback undo;
  undo.Add([&] { store.Discard(key); });
  KATA_TRY(MakeLayerImage(key, image, Deadline::After(kBuildTime)));
  const LayerKey after = KATA_TRY(Fingerprint(key.directory, Deadline::After(kWalkTime)));
  if (after.name != key.name) {
    return Fail(Code::kAborted,
                fmt::format("layer \"{}\" changed while its image was made", key.directory));
  }
  auto published = KATA_TRY(store.Publish(key));
  undo.Release();
  return published;
}

}  // namespace

bool IsSmall(const LayerKey& key) { return key.entries < kSmallEntries && key.bytes < kSmallBytes; }

Result<ErofsProgram> FindMkfsErofs(const std::string& root) {
  ErofsProgram program{.path = KATA_TRY(Locate(root))};
  sys::Command command;
  command.argv = {program.path, "--version"};  // which 1.5 calls an error, and says its version
  command.parent_death_signal = SIGKILL;
  const auto told = KATA_TRY(sys::RunAndCollect(std::move(command), Deadline::After(kProbeTime)));
  program.version = VersionIn(told.output);
  if (IsNewEnough(program.version)) return program;
  return Fail(Code::kFailedPrecondition,
              fmt::format("\"{}\" is of version {}; install erofs-utils {}.{} or later",
                          program.path, program.version.empty() ? "unknown" : program.version,
                          kOldestMajor, kOldestMinor));
}

Result<void> MakeLayerImage(const LayerKey& key, const std::string& to, Deadline deadline) {
  const ErofsProgram program = KATA_TRY(FindMkfsErofs());
  sys::Command command;
  command.argv = {program.path, "--quiet", "-U" + UuidOf(key), to, key.directory};
  command.cwd = "/";
  command.parent_death_signal = SIGKILL;
  command.limits = {{RLIMIT_AS, MemoryFor(key)}, {RLIMIT_FSIZE, MostBytes(key)}, {RLIMIT_CORE, 0}};
  Rollback undo;
  undo.Add([&] { (void)sys::RemoveFile(to); });
  const auto told = KATA_TRY(sys::RunAndCollect(std::move(command), deadline));
  if (!told.status.Success()) {
    return Fail(told.output.contains("No space left") ? Code::kResourceExhausted : Code::kInternal,
                fmt::format("{} of layer \"{}\": {}: {}", program.path, key.directory,
                            told.status.Describe(), Tail(told.output)));
  }
  undo.Release();
  return {};
}

Result<LayerImage> BuildLayer(const LayerStore& store, const std::string& directory,
                              const std::function<void(std::string_view)>& progress) {
  progress("waiting for other builders");
  const sys::UniqueFd lock = KATA_TRY(store.Lock(Deadline::After(kWaitForOthers)));
  progress(fmt::format("looking at {}", directory));
  const LayerKey key = KATA_TRY(SettledKey(directory));
  if (auto there = store.Open(key)) return there;
  progress(fmt::format("making the image of {} entries, {} MiB", key.entries, key.bytes >> 20));
  auto built = BuildLocked(store, key);
  if (!built) store.NoteFailure(key, built.error().message());
  return built;
}

}  // namespace kata::factory
