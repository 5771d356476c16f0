// SPDX-License-Identifier: Apache-2.0
#include "host/machine/layer_images.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/factory/layer_build.h"
#include "host/factory/layer_store.h"
#include "sys/temporary_dir.h"

namespace kata::sandbox {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

class LayerImagesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "looking at layers needs root";
    if (!factory::FindMkfsErofs()) GTEST_SKIP() << "there is no mkfs.erofs";
    config_.layers_path = Path("store");
    config_.layer_cache_size_mb = 100;
    ASSERT_TRUE(sys::MakeDirs(Path("small")));
    ASSERT_TRUE(sys::MakeDirs(Path("large")));
    ASSERT_TRUE(sys::WriteFile(Path("small/file"), "x"));
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(sys::WriteFile(Path(fmt::format("large/{}", i)), "x"));
    }
  }
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }
  Result<LayerImages> Find(const std::vector<std::string>& names) const {
    std::vector<std::string> layers;
    for (const std::string& name : names) layers.push_back(Path(name));
    return FindLayerImages(layers, config_, Path("scratch"));
  }
  const sys::TemporaryDir dir_{"layer-images"};
  config::FactoryConfig config_;
};

TEST_F(LayerImagesTest, SaysWhichAreToBeMadeAndMakesNoneThen) {
  const auto found = Find({"small", "large"});
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_THAT(found->missing, ElementsAre(Path("large")));
  EXPECT_FALSE(sys::Exists(Path("scratch")));
}

TEST_F(LayerImagesTest, AreAllThereOnceTheStoreHasTheLargeOnes) {
  const factory::LayerStore store(config_.layers_path, config_.layer_cache_size_mb);
  ASSERT_TRUE(factory::BuildLayer(store, Path("large"), [](std::string_view) {}));
  const auto found = Find({"small", "large"});
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_THAT(found->missing, ElementsAre());
  EXPECT_EQ(found->made_here, 1);
  ASSERT_EQ(found->images.size(), 2);
  for (const LayerImages::Image& image : found->images) {
    struct stat status{};
    ASSERT_EQ(::fstat(image.fd.get(), &status), 0);
    EXPECT_GT(status.st_size, 0);
  }
  // In the order of the layers.
  EXPECT_NE(found->images[0].key, found->images[1].key);
  EXPECT_TRUE(sys::Exists(Path("scratch/" + found->images[0].key)));
}

TEST_F(LayerImagesTest, AreNotLookedForOnceNobodyWantsThem) {
  std::stop_source stop;
  stop.request_stop();
  const auto found =
      FindLayerImages({Path("small"), Path("large")}, config_, Path("scratch"), stop.get_token());
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kCancelled);
  EXPECT_FALSE(sys::Exists(Path("scratch")));
}

TEST_F(LayerImagesTest, OfAChangedLayerIsToBeMadeAgain) {
  const factory::LayerStore store(config_.layers_path, config_.layer_cache_size_mb);
  ASSERT_TRUE(factory::BuildLayer(store, Path("large"), [](std::string_view) {}));
  ASSERT_TRUE(sys::WriteFile(Path("large/5"), "y"));
  EXPECT_THAT(Find({"large"})->missing, ElementsAre(Path("large")));
}

TEST_F(LayerImagesTest, ThatAreDamagedAreThrownAway) {
  const factory::LayerStore store(config_.layers_path, config_.layer_cache_size_mb);
  const auto built = factory::BuildLayer(store, Path("large"), [](std::string_view) {});
  ASSERT_TRUE(built);
  ASSERT_EQ(::truncate(built->path.c_str(), 100), 0);
  EXPECT_THAT(Find({"large"})->missing, ElementsAre(Path("large")));
  EXPECT_FALSE(sys::Exists(built->path));
}

TEST_F(LayerImagesTest, ThatCannotBeMadeAreNotAskedForAgainAndAgain) {
  const factory::LayerStore store(config_.layers_path, config_.layer_cache_size_mb);
  const auto key = factory::Fingerprint(Path("large"), Deadline::After(seconds(30)));
  ASSERT_TRUE(key);
  ASSERT_TRUE(sys::MakeDirs(config_.layers_path, 0700));
  store.NoteFailure(*key, "no");
  EXPECT_EQ(Find({"large"}).error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace kata::sandbox
