// SPDX-License-Identifier: Apache-2.0
//
// What looking at an image's layers costs a start: entries a second of the walk, for the directory
// that $KATA_LAYER names, or for one of 10,000 files that is made.
#include <cstdlib>
#include <string>

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "host/factory/layer_key.h"
#include "sys/files.h"

namespace kata::factory {
namespace {

constexpr int kFolders = 100;
constexpr int kFilesInEach = 100;

std::string MakeLayer() {
  std::string path = "/var/tmp/fingerprint-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  for (int folder = 0; folder < kFolders; ++folder) {
    const std::string inside = fmt::format("{}/usr/share/{}", path, folder);
    sys::MakeDirs(inside).value();
    for (int file = 0; file < kFilesInEach; ++file) {
      sys::WriteFile(fmt::format("{}/{}.py", inside, file), "pass\n").value();
    }
  }
  return path;
}

void BM_Fingerprint(benchmark::State& state) {
  const char* const chosen = std::getenv("KATA_LAYER");
  const std::string layer = chosen != nullptr ? chosen : MakeLayer();
  uint64_t entries = 0;
  for (auto _ : state) {
    const auto key = Fingerprint(layer, Deadline::Never());
    if (!key) {
      state.SkipWithError(key.error().message().c_str());
      break;
    }
    entries = key->entries;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(entries));
  if (chosen == nullptr) sys::RemoveTree(layer).value();
}
BENCHMARK(BM_Fingerprint)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kata::factory

BENCHMARK_MAIN();
