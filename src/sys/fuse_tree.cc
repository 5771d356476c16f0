// SPDX-License-Identifier: Apache-2.0
#include "sys/fuse_tree.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "sys/files.h"

namespace kata::sys {
namespace {

// As many as the kernel asks a server to have room for.
constexpr size_t kMaxRequest = 256 << 10;
// Several requests belong to one look.
constexpr auto kFresh = std::chrono::milliseconds(200);

template <class Part>
bool Take(std::string_view& text, Part* part) {
  if (text.size() < sizeof *part) return false;
  std::memcpy(part, text.data(), sizeof *part);
  text.remove_prefix(sizeof *part);
  return true;
}

template <class Part>
void Append(std::string& text, const Part& part) {
  text.append(reinterpret_cast<const char*>(&part), sizeof part);
}

std::string Reply(const fuse_in_header& header, int error, std::string_view body = {}) {
  fuse_out_header out{};
  out.len = static_cast<uint32_t>(sizeof out + body.size());
  out.error = -error;
  out.unique = header.unique;
  std::string reply;
  Append(reply, out);
  reply += body;
  return reply;
}

template <class Part>
std::string ReplyWith(const fuse_in_header& header, const Part& part) {
  return Reply(header, 0, {reinterpret_cast<const char*>(&part), sizeof part});
}

fuse_attr AttributesOf(uint64_t id, const FuseTree::Node& node) {
  fuse_attr attributes{};
  attributes.ino = id;
  // Like /proc's own, files have no size: readers go on to the end.
  attributes.size = S_ISLNK(node.type) ? node.content.size() : 0;
  attributes.mode = node.type | (S_ISDIR(node.type) ? 0555 : S_ISLNK(node.type) ? 0777 : 0444);
  attributes.nlink = 1;
  attributes.blksize = 4096;
  return attributes;
}

std::string Initialise(const fuse_in_header& header, std::string_view body) {
  fuse_init_in in{};
  // Older kernels say less.
  std::memcpy(&in, body.data(), std::min(body.size(), sizeof in));
  if (in.major < 7) return Reply(header, EPROTO);
  fuse_init_out out{};
  out.major = 7;
  out.minor = std::min(in.minor, 31U);
  out.max_readahead = in.max_readahead;
  out.max_write = 4096;
  out.time_gran = 1;
  return ReplyWith(header, out);
}

std::string LookUp(const fuse_in_header& header, std::string_view body, const FuseTree& tree,
                   const FuseTree::Node& parent) {
  const std::string name(body.substr(0, body.find('\0')));
  const auto entry = parent.entries.find(name);
  if (entry == parent.entries.end()) return Reply(header, ENOENT);
  const auto node = tree.nodes.find(entry->second);
  if (node == tree.nodes.end()) return Reply(header, ENOENT);
  fuse_entry_out out{};
  out.nodeid = node->first;
  out.attr = AttributesOf(node->first, node->second);
  return ReplyWith(header, out);
}

std::string ReadDirectory(const fuse_in_header& header, std::string_view body, const FuseTree& tree,
                          const FuseTree::Node& node) {
  fuse_read_in in{};
  if (!Take(body, &in)) return Reply(header, EINVAL);
  std::string entries;
  uint64_t position = 0;
  for (const auto& [name, id] : node.entries) {
    ++position;
    const auto entry = tree.nodes.find(id);
    if (position <= in.offset || entry == tree.nodes.end()) continue;
    fuse_dirent head{};
    head.ino = id;
    head.off = position;
    head.namelen = static_cast<uint32_t>(name.size());
    head.type = (entry->second.type & S_IFMT) >> 12;
    const size_t whole = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name.size());
    if (entries.size() + whole > in.size) break;
    const size_t begin = entries.size();
    entries.append(reinterpret_cast<const char*>(&head), FUSE_NAME_OFFSET);
    entries += name;
    entries.resize(begin + whole);
  }
  return Reply(header, 0, entries);
}

std::string ReadContent(const fuse_in_header& header, std::string_view body,
                        const FuseTree::Node& node) {
  fuse_read_in in{};
  if (!Take(body, &in)) return Reply(header, EINVAL);
  if (in.offset >= node.content.size()) return Reply(header, 0);
  return Reply(header, 0, std::string_view(node.content).substr(in.offset, in.size));
}

std::string AnswerOpen(const fuse_in_header& header) {
  fuse_open_out out{};
  out.open_flags = FOPEN_DIRECT_IO;
  return ReplyWith(header, out);
}

}  // namespace

std::optional<std::string> AnswerFuse(std::string_view request, const FuseTree& tree) {
  fuse_in_header header{};
  if (!Take(request, &header)) return std::nullopt;
  switch (header.opcode) {
    case FUSE_INIT:
      return Initialise(header, request);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
    case FUSE_DESTROY:
      return std::nullopt;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FLUSH:
      return Reply(header, 0);
    case FUSE_STATFS:
      return ReplyWith(header, fuse_statfs_out{});
    default:
      break;
  }
  const auto found = tree.nodes.find(header.nodeid);
  if (found == tree.nodes.end()) return Reply(header, ENOENT);
  const FuseTree::Node& node = found->second;
  switch (header.opcode) {
    case FUSE_LOOKUP:
      return LookUp(header, request, tree, node);
    case FUSE_GETATTR: {
      fuse_attr_out out{};
      out.attr = AttributesOf(header.nodeid, node);
      return ReplyWith(header, out);
    }
    case FUSE_READLINK:
      return S_ISLNK(node.type) ? Reply(header, 0, node.content) : Reply(header, EINVAL);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return AnswerOpen(header);
    case FUSE_READDIR:
      return S_ISDIR(node.type) ? ReadDirectory(header, request, tree, node)
                                : Reply(header, ENOTDIR);
    case FUSE_READ:
      return S_ISREG(node.type) ? ReadContent(header, request, node) : Reply(header, EISDIR);
    case FUSE_ACCESS:
      return Reply(header, 0);
    default:
      return Reply(header, ENOSYS);
  }
}

bool LooksAnew(std::string_view request) {
  fuse_in_header header{};
  return Take(request, &header) && header.nodeid == FuseTree::kRoot &&
         (header.opcode == FUSE_LOOKUP || header.opcode == FUSE_OPENDIR);
}

Result<FuseMount> MakeFuseMount(const std::string& source) {
  FuseMount made;
  made.device = KATA_TRY(sys::Open("/dev/fuse", O_RDWR | O_NONBLOCK));
  const UniqueFd context(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context) return FailErrno("fsopen", "fuse");
  const std::pair<const char*, std::string> options[] = {{"source", source},
                                                         {"fd", std::to_string(made.device.get())},
                                                         {"rootmode", "40555"},
                                                         {"user_id", "0"},
                                                         {"group_id", "0"}};
  for (const auto& [key, value] : options) {
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0) {
      return FailErrno("fsconfig", key);
    }
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return FailErrno("fsconfig", "fuse");
  }
  made.mount.Reset(
      ::fsmount(context.get(), FSMOUNT_CLOEXEC,
                MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (!made.mount) return FailErrno("fsmount", "fuse");
  return made;
}

FuseServer::FuseServer(EventLoop& loop, UniqueFd device, Refresh refresh)
    : loop_(loop),
      device_(std::move(device)),
      refresh_(std::move(refresh)),
      tree_(std::make_shared<FuseTree>()) {
  tree_->nodes[FuseTree::kRoot].type = S_IFDIR;
}

FuseServer::~FuseServer() { Stop(); }

void FuseServer::Start() {
  if (watching_ || !device_) return;
  watching_ = loop_
                  .Add(device_.get(), EPOLLIN,
                       [weak = weak_from_this()](uint32_t) {
                         if (const auto self = weak.lock()) self->OnRequest();
                       })
                  .has_value();
}

void FuseServer::Stop() {
  if (std::exchange(watching_, false)) loop_.Remove(device_.get());
  device_.Reset();
}

void FuseServer::OnRequest() {
  std::string request(kMaxRequest, '\0');
  const ssize_t n =
      RetryOnEintr([&] { return ::read(device_.get(), request.data(), kMaxRequest); });
  // ENOENT: the request was withdrawn meanwhile.
  if (n < 0 && (errno == EAGAIN || errno == ENOENT)) return;
  // ENODEV: unmounted.
  if (n <= 0) return Stop();
  request.resize(static_cast<size_t>(n));
  if (!LooksAnew(request) || std::chrono::steady_clock::now() - made_ < kFresh) {
    return Answer(request);
  }
  // One look at a time: the next request is read when this one has been answered.
  if (std::exchange(watching_, false)) loop_.Remove(device_.get());
  refresh_([weak = weak_from_this(), request](std::shared_ptr<FuseTree> tree) {
    const auto self = weak.lock();
    if (!self || !self->device_) return;
    if (tree) {
      self->tree_ = std::move(tree);
      self->made_ = std::chrono::steady_clock::now();
    }
    self->Answer(request);
    self->Start();
  });
}

void FuseServer::Answer(const std::string& request) {
  const auto answer = AnswerFuse(request, *tree_);
  if (!answer) return;
  // ENOENT: nobody waits for it any more.
  (void)RetryOnEintr([&] { return ::write(device_.get(), answer->data(), answer->size()); });
}

}  // namespace kata::sys
