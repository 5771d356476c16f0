// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/storage/upper_area.h - an upper layer that host and guest leave for each other behind
// the file system of the disk that it is on (upper/area.h). Part of upper_disk.h.
#pragma once

#include <string>

#include "base/result.h"
#include "guest/agent/storage/upper_disk.h"

namespace kata::guest {

bool IsArea(const UpperDisk& disk);

// Makes the directory `to` what the host has left there. What is returned is for the log.
Result<std::string> FillFromArea(const UpperDisk& disk, const std::string& to);
// Leaves what the directory has, or what has changed in it since the host took it last.
Result<std::string> LeaveInArea(const UpperDisk& disk);

}  // namespace kata::guest
