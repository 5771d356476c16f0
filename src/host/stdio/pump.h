// SPDX-License-Identifier: Apache-2.0
//
// host/stdio/pump.h - moving bytes between a guest process and the host's end of its streams.
//
// A pump holds at most one chunk: it asks the guest for more only after the host took what came
// before, so a slow reader slows the container's program and costs no memory. Pumps live on the
// event loop's thread; their `done` callback runs there exactly once, unless Abandon() came first.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "host/stdio/endpoint.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::stdio {

// Guest to host.
class OutputPump : public std::enable_shared_from_this<OutputPump> {
 public:
  // Asks the guest for the next chunk; the answer comes on the loop's thread, an empty one or an
  // error ends the stream.
  using ReadGuest = std::function<void(std::move_only_function<void(Result<std::string>)>)>;

  // `sink` may be nothing (the output is thrown away), a fifo, a pipe, a socket, a terminal or a
  // regular file. `refuse` is called once when nobody reads from the sink any more; without it, or
  // when writing fails for another reason, the rest of the output is thrown away.
  //
  // The end of a fifo's output is when its reader has taken everything or left, and a late reader
  // is waited for: a busy host may give a client its first turn after a short program has ended,
  // and containerd's gives up a fifo that it has not opened when it hears of that end.
  OutputPump(sys::EventLoop& loop, Output sink, ReadGuest read_guest, std::function<void()> done,
             std::function<void()> refuse = {});
  ~OutputPump();

  void Start();
  // Ends the stream now, closing the host's end; `done` is called if it was not yet.
  void Finish();
  bool finished() const { return finished_; }
  // When a byte last moved, or the pump was made. From any thread.
  std::chrono::steady_clock::time_point last_progress() const { return last_progress_; }
  // The host has taken everything so far and the guest was asked for more. On the loop's thread.
  bool asking() const { return asking_; }

 private:
  void Ask();
  void OnChunk(Result<std::string> chunk);
  void Write();
  void StopWatching();
  void EndWithReader();
  void AwaitReader();

  sys::EventLoop& loop_;
  sys::UniqueFd sink_;
  bool reader_is_late_;
  ReadGuest read_guest_;
  std::function<void()> done_;
  std::function<void()> refuse_;
  std::string pending_;
  size_t written_ = 0;
  bool asking_ = false;
  bool watching_ = false;
  bool finished_ = false;
  std::atomic<std::chrono::steady_clock::time_point> last_progress_;
};

// Host to guest.
class InputPump : public std::enable_shared_from_this<InputPump> {
 public:
  // Hands a chunk to the guest; the answer says that the process has taken it.
  using WriteGuest = std::function<void(std::string, std::move_only_function<void(Result<void>)>)>;

  // `reader` may be a fifo, a pipe, a socket, a terminal or a regular file. `end_of_input` is
  // called once when every writer has gone, or at the file's end.
  InputPump(sys::EventLoop& loop, sys::UniqueFd reader, sys::UniqueFd keeper,
            WriteGuest write_guest, std::function<void()> end_of_input);
  ~InputPump();

  void Start();
  // Gives up our own end of the fifo: the input ends when the client's end is closed as well.
  void ReleaseKeeper() { keeper_.Reset(); }
  // Stops; nothing is sent any more.
  void Finish();

 private:
  void Watch();
  void OnReadable();

  sys::EventLoop& loop_;
  sys::UniqueFd reader_;
  sys::UniqueFd keeper_;
  WriteGuest write_guest_;
  std::function<void()> end_of_input_;
  // A fifo that nobody had open for writing when it was opened does not tell that nobody has: only
  // reading it does.
  const bool hides_end_;
  bool watching_ = false;
  bool finished_ = false;
};

}  // namespace kata::stdio
