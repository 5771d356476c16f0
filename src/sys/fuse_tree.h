// SPDX-License-Identifier: Apache-2.0
//
// sys/fuse_tree.h - a read-only file system of a few small files, served over /dev/fuse.
//
// The codec has no input or output: it answers one request of the kernel from a tree in memory.
// Basis: the kernel's fuse(4) and <linux/fuse.h>, protocol 7.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::sys {

// What the file system shows at a moment. A node keeps its number from one tree to the next.
struct FuseTree {
  static constexpr uint64_t kRoot = 1;
  struct Node {
    mode_t type = 0;      // S_IFDIR, S_IFREG or S_IFLNK
    std::string content;  // of a file; the target of a link
    std::map<std::string, uint64_t> entries;
  };
  std::map<uint64_t, Node> nodes;
};

// The answer to `request`, whole; none for requests that have none. A request that is too short or
// asks for what the tree does not have gets an error as its answer.
std::optional<std::string> AnswerFuse(std::string_view request, const FuseTree& tree);

// Whether the request begins a look at the tree, for which it should be fresh.
bool LooksAnew(std::string_view request);

// A new file system that is mounted nowhere yet (see AttachMount), and the device to serve it by,
// which is non-blocking. Closing the mount ends it.
// Errors  kNotFound  the host has no /dev/fuse
struct FuseMount {
  UniqueFd mount;
  UniqueFd device;
};
Result<FuseMount> MakeFuseMount(const std::string& source);

// Serves a mounted file system until it is unmounted. Everything happens on the loop's thread.
class FuseServer : public std::enable_shared_from_this<FuseServer> {
 public:
  // Makes a tree and hands it over, then or later; null where none can be had.
  using Refresh = std::function<void(std::move_only_function<void(std::shared_ptr<FuseTree>)>)>;

  // `device` as of FuseMount.
  FuseServer(EventLoop& loop, UniqueFd device, Refresh refresh);
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;
  ~FuseServer();

  void Start();
  void Stop();

 private:
  void OnRequest();
  void Answer(const std::string& request);

  EventLoop& loop_;
  UniqueFd device_;
  const Refresh refresh_;
  std::shared_ptr<FuseTree> tree_;
  std::chrono::steady_clock::time_point made_{};
  bool watching_ = false;
};

}  // namespace kata::sys
