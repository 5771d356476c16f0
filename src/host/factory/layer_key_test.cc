// SPDX-License-Identifier: Apache-2.0
#include "host/factory/layer_key.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "host/factory/testing/layer_bed.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace kata::factory {
namespace {

using ::testing::HasSubstr;

class LayerKeyTest : public LayerBed {
 protected:
  LayerKeyTest() { FillLayer(); }

  Error Refusal(const std::string& directory) const {
    const auto key = Fingerprint(directory, Deadline::Never());
    return key ? Error(Code::kOk, key->name) : key.error();
  }
};

TEST_F(LayerKeyTest, IsTheSameForAsLongAsTheLayerIs) {
  const LayerKey key = Key();
  EXPECT_EQ(key.name.size(), 64u);
  EXPECT_EQ(key.entries, 9u);
  EXPECT_EQ(key.bytes, 600'007u);
  EXPECT_EQ(key.directory, layer_);
  EXPECT_EQ(Key().name, key.name);
  ASSERT_EQ(::symlink("layer", (bed_ + "/short").c_str()), 0);
  const auto by_link = Fingerprint(bed_ + "/short/", Deadline::Never());
  ASSERT_TRUE(by_link) << by_link.error().message();
  EXPECT_EQ(by_link->name, key.name) << "Docker's names are links";
  ASSERT_TRUE(sys::ReadFile(layer_ + "/usr/large"));
  EXPECT_EQ(Key().name, key.name);
}

// Content of the same size through a mapping, and the time of its change set back.
void ChangeUnseen(const std::string& path) {
  struct stat before{};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  {
    const sys::UniqueFd file = sys::Open(path, O_RDWR).value();
    void* const place = ::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    ASSERT_NE(place, MAP_FAILED);
    *static_cast<char*>(place) = 'C';
    ASSERT_EQ(::munmap(place, 1), 0);
  }
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

TEST_F(LayerKeyTest, ShowsEveryChange) {
  const std::string file = layer_ + "/usr/lib/deep/file";
  const std::vector<std::pair<const char*, std::function<bool()>>> changes = {
      {"a file deep in it", [&] { return sys::WriteFile(file + "2", "").has_value(); }},
      {"another name", [&] { return ::rename((file + "2").c_str(), (file + "3").c_str()) == 0; }},
      {"one file less", [&] { return ::unlink((file + "3").c_str()) == 0; }},
      {"its mode", [&] { return ::chmod(file.c_str(), 0600) == 0; }},
      {"its owner", [&] { return ::chown(file.c_str(), 1, 2) == 0; }},
      {"an attribute", [&] { return ::setxattr(file.c_str(), "trusted.a", "b", 1, 0) == 0; }},
      {"its content", [&] { return ChangeUnseen(file), true; }},
      {"a file in its place", [&] { return sys::ReplaceFile(file, "content").has_value(); }},
      {"the layer's own mode", [&] { return ::chmod(layer_.c_str(), 0700) == 0; }},
  };
  std::string before = Key().name;
  for (const auto& [what, change] : changes) {
    ASSERT_TRUE(change()) << what;
    const std::string after = Key().name;
    EXPECT_NE(after, before) << what;
    before = after;
  }
}

TEST_F(LayerKeyTest, IsAnotherForAnotherDirectory) {
  const LayerKey key = Key();
  ASSERT_EQ(::rename(layer_.c_str(), (bed_ + "/moved").c_str()), 0);
  EXPECT_NE(Fingerprint(bed_ + "/moved", Deadline::Never())->name, key.name);
}

TEST_F(LayerKeyTest, NoImageStandsForWhatLiesElsewhere) {
  const std::string file = layer_ + "/usr/lib/deep/file";
  ASSERT_EQ(::setxattr(file.c_str(), "trusted.overlay.metacopy", "", 0, 0), 0);
  EXPECT_EQ(Refusal(layer_).code(), Code::kUnimplemented);
  EXPECT_THAT(Refusal(layer_).message(), HasSubstr("deep/file\": its content is in another layer"));
  ASSERT_EQ(::removexattr(file.c_str(), "trusted.overlay.metacopy"), 0);
  ASSERT_EQ(::setxattr((layer_ + "/usr").c_str(), "trusted.overlay.redirect", "/x", 2, 0), 0);
  EXPECT_EQ(Refusal(layer_).code(), Code::kUnimplemented);
  EXPECT_THAT(Refusal(layer_).message(), HasSubstr("renamed directory"));
  ASSERT_EQ(::removexattr((layer_ + "/usr").c_str(), "trusted.overlay.redirect"), 0);
  for (const std::string& place : {layer_ + "/usr/lib/deep", layer_ + "/usr/large"}) {
    ASSERT_TRUE(sys::BindMount(place, place, {}));
    EXPECT_EQ(Refusal(layer_).code(), Code::kUnimplemented);
    EXPECT_THAT(Refusal(layer_).message(), HasSubstr("something is mounted there"));
    ASSERT_TRUE(sys::Unmount(place, 0));
  }
  EXPECT_EQ(Refusal(layer_).code(), Code::kOk);
}

TEST_F(LayerKeyTest, NoImageStandsForWhatOthersChangeUnseen) {
  EXPECT_EQ(Refusal("/proc/self").code(), Code::kUnimplemented);
  EXPECT_THAT(Refusal("/proc/self").message(), HasSubstr("file system of type 0x9fa0"));
  for (const char* name : {"/upper", "/work", "/merged"}) ASSERT_TRUE(sys::MakeDirs(bed_ + name));
  const std::string merged = bed_ + "/merged";
  ASSERT_TRUE(
      sys::Mount("overlay", merged, "overlay", 0,
                 "lowerdir=" + layer_ + ",upperdir=" + bed_ + "/upper,workdir=" + bed_ + "/work"));
  EXPECT_EQ(Refusal(merged).code(), Code::kUnimplemented) << "an overlay";
  ASSERT_TRUE(sys::Unmount(merged, 0));
}

TEST_F(LayerKeyTest, KeepsToItsBounds) {
  EXPECT_TRUE(Fingerprint(layer_, Deadline::Never(), 9));
  EXPECT_EQ(Fingerprint(layer_, Deadline::Never(), 8).error().code(), Code::kOutOfRange);
  EXPECT_EQ(Fingerprint(layer_, Deadline::After({})).error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(Refusal(layer_ + "/none").code(), Code::kNotFound);
  EXPECT_THAT(Refusal(layer_ + "/usr/large").message(), HasSubstr("Not a directory"));
}

TEST_F(LayerKeyTest, DirectoriesThatNestDeeplyAreRefusedNotCutShort) {
  sys::UniqueFd at = sys::Open(layer_, O_RDONLY | O_DIRECTORY).value();
  const std::string name(200, 'd');
  for (int depth = 0; depth < 30; ++depth) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
    at.Reset(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  at.Reset(::openat(at.get(), "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  EXPECT_THAT(Refusal(layer_).message(), HasSubstr("File name too long"))
      << "its attributes cannot be asked for";
}

}  // namespace
}  // namespace kata::factory
