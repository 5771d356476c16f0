// SPDX-License-Identifier: Apache-2.0
//
// An upper layer that a guest has left, made a directory of the host's: whatever the stream says,
// nothing beside that directory changes.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "fuzz_support.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "upper/stream.h"
#include "upper/unpack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const kata::sys::UniqueFd stream(::memfd_create("stream", MFD_CLOEXEC));
  kata::fuzz::Check(::write(stream.get(), data, size) == static_cast<ssize_t>(size));
  char dir[] = "/tmp/kata-upper-fuzz-XXXXXX";
  kata::fuzz::Check(::mkdtemp(dir) != nullptr);
  const std::string layer = std::string(dir) + "/layer";
  const std::string beside = std::string(dir) + "/beside";
  kata::fuzz::Check(kata::sys::MakeDirs(layer).has_value());
  kata::fuzz::Check(kata::sys::WriteFile(beside, "mine").has_value());
  kata::upper::StreamReader reader({.fd = stream.get(), .begin = 0, .bytes = size});
  (void)kata::upper::Unpack(reader, layer, {});
  const auto still = kata::sys::ReadFile(beside);
  kata::fuzz::Check(still && *still == "mine");
  kata::fuzz::Check(kata::sys::ListDirectory(dir).size() == 2);
  kata::fuzz::Check(kata::sys::RemoveTree(dir).has_value());
  return 0;
}
