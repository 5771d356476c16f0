// SPDX-License-Identifier: Apache-2.0
#include "host/hypervisor/qemu/qemu.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "host/hypervisor/qemu/argv.h"
#include "host/hypervisor/qemu/qemu_vm.h"

namespace kata::hypervisor::qemu {

Vmm Describe() {
  return {.traits = kQemu,
          .capabilities = {.vsock = true, .virtio_serial = true, .save = true},
          .make = [](sys::EventLoop& loop) { return std::make_unique<QemuVm>(loop); },
          .state_key = StateKey,
          .parse_version = ParseVersion};
}

Result<Version> ParseVersion(std::string_view output) {
  constexpr std::string_view kMark = " version ";
  const size_t at = output.find(kMark);
  if (output.starts_with("QEMU") && at != std::string_view::npos) {
    std::string_view rest = output.substr(at + kMark.size());
    int numbers[3] = {};
    for (int& number : numbers) {
      const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
      if (error != std::errc{}) break;
      rest.remove_prefix(static_cast<size_t>(end - rest.data()));
      if (!rest.starts_with('.')) break;
      rest.remove_prefix(1);
    }
    if (numbers[0] > 0) return Version{numbers[0], numbers[1], numbers[2]};
  }
  return Fail(Code::kFailedPrecondition,
              fmt::format("not the version of a QEMU: \"{}\"",
                          output.substr(0, std::min<size_t>(output.find('\n'), 200))));
}

}  // namespace kata::hypervisor::qemu
