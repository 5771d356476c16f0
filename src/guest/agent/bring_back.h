// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/bring_back.h - what a container has written on a disk of the guest's, to the host's
// upper layer.
#pragma once

#include <functional>

#include "guest/agent/container_table.h"
#include "guest/agent/storage/storage.h"
#include "sys/event_loop.h"

namespace kata::guest {

// In a process of its own (BringUpperBack); the container must not write meanwhile. One at a time:
// who asks while one is under way gets another after it. `done` is called at once where there is
// nothing to bring. The loop's thread; `loop` and `table` live until then.
void BringUppersBack(sys::EventLoop& loop, const StorageTable& table,
                     const ContainerTable::EntryPtr& entry, ContainerEntry::Done done);

// The same for a container whose first process has ended, before the host is told so: front ends
// look at its files as soon as they know. `done` is called when they are back, or could not be
// brought, or after five seconds, for which front ends wait; the container's removal does the rest.
void BringUppersBackAtEnd(sys::EventLoop& loop, const StorageTable& table,
                          const ContainerTable::EntryPtr& entry,
                          std::move_only_function<void()> done);

}  // namespace kata::guest
