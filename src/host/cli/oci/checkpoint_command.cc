// SPDX-License-Identifier: Apache-2.0
//
// kata-runtime checkpoint and restore: known by name, so that who asks is told.
#include "host/cli/oci/command.h"

namespace kata::cli::oci {
namespace {

constexpr std::string_view kRefusal = "machines of containers cannot be saved yet";

}  // namespace

const Command kCheckpoint{
    .name = "checkpoint", .summary = "save a running container", .refusal = kRefusal};
const Command kRestore{
    .name = "restore", .summary = "restore a container from a checkpoint", .refusal = kRefusal};

}  // namespace kata::cli::oci
