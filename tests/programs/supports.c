// SPDX-License-Identifier: Apache-2.0
//
// supports DIR... - what file systems can do, by doing it in each DIR: a line for each call, with a
// column for each DIR that is "yes", "no" where the call succeeds without doing what it says, or an
// errno. Leaves nothing in DIR.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { kBlock = 4096, kBlocks = 16 };
static char kText[] = "text";

// Results: 0 is yes; kNo and a negated errno are not.
enum { kNo = 1 };
static int done(int result) { return result < 0 ? -errno : 0; }

static int make(const char* name) { return open(name, O_RDWR | O_CREAT | O_TRUNC, 0644); }

static int filled(const char* name) {
  static char block[kBlock];
  const int fd = make(name);
  memset(block, 'x', sizeof block);
  for (int i = 0; i < kBlocks; ++i) {
    if (write(fd, block, sizeof block) != sizeof block) return -1;
  }
  return fd;
}

static int byte_at(int fd, off_t offset) {
  char byte = 0;
  return pread(fd, &byte, 1, offset) == 1 ? byte : -1;
}

static int direct(void) {
  void* block = NULL;
  const int fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0644);
  if (fd < 0) return done(-1);
  if (posix_memalign(&block, kBlock, kBlock) != 0) return -ENOMEM;
  memset(block, 'd', kBlock);
  if (pwrite(fd, block, kBlock, 0) != kBlock) return done(-1);
  memset(block, 0, kBlock);
  if (pread(fd, block, kBlock, 0) != kBlock) return done(-1);
  return *(char*)block == 'd' ? 0 : kNo;
}

static int mapped(void) {
  const int fd = filled("mapped");
  char* map = mmap(NULL, kBlock, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return done(-1);
  map[1] = 'm';
  if (msync(map, kBlock, MS_SYNC) != 0) return done(-1);
  if (byte_at(fd, 1) != 'm') return kNo;
  if (pwrite(fd, "w", 1, 2) != 1) return done(-1);
  return map[2] == 'w' ? 0 : kNo;
}

static int allocate(int mode, off_t* size) {
  const int fd = filled("allocated");
  const int result = fallocate(fd, mode, 4 * kBlock, 4 * kBlock);
  const int outcome = done(result);
  struct stat status;
  fstat(fd, &status);
  *size = status.st_size / kBlock;
  return outcome;
}

static int allocated(void) {
  off_t size = 0;
  const int fd = make("new");
  const int result = done(fallocate(fd, 0, 0, kBlock));
  struct stat status;
  fstat(fd, &status);
  if (result != 0 || status.st_size != kBlock) return result != 0 ? result : kNo;
  return allocate(FALLOC_FL_KEEP_SIZE, &size);
}

static int same_size(int mode) {
  off_t size = 0;
  const int result = allocate(mode, &size);
  if (result != 0) return result;
  const int fd = open("allocated", O_RDONLY);
  return size == kBlocks && byte_at(fd, 4 * kBlock) == 0 && byte_at(fd, 8 * kBlock) == 'x' ? 0
                                                                                           : kNo;
}

static int punched(void) { return same_size(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE); }
static int zeroed(void) { return same_size(FALLOC_FL_ZERO_RANGE); }

static int moved(int mode, off_t wanted) {
  off_t size = 0;
  const int result = allocate(mode, &size);
  return result == 0 && size != wanted ? kNo : result;
}

static int collapsed(void) { return moved(FALLOC_FL_COLLAPSE_RANGE, kBlocks - 4); }
static int inserted(void) { return moved(FALLOC_FL_INSERT_RANGE, kBlocks + 4); }

static int holes(void) {
  const int fd = make("holes");
  const off_t end = 64 * kBlock;
  if (pwrite(fd, kText, 1, 0) != 1 || pwrite(fd, kText, 1, end) != 1) return done(-1);
  const off_t hole = lseek(fd, 0, SEEK_HOLE);
  if (hole < 0) return done(-1);
  return hole < end && lseek(fd, hole, SEEK_DATA) > hole ? 0 : kNo;
}

static int sparse(void) {
  const int fd = make("sparse");
  if (ftruncate(fd, (off_t)1 << 40) != 0) return done(-1);
  struct stat status;
  fstat(fd, &status);
  return status.st_blocks < 1024 ? 0 : kNo;
}

static int cloned(void) {
  const int from = filled("from");
  return done(ioctl(make("clone"), FICLONE, from));
}

static int range_copied(void) {
  const int from = filled("from");
  const int to = make("copy");
  const ssize_t count = copy_file_range(from, &(off_t){0}, to, NULL, kBlock, 0);
  if (count < 0) return done(-1);
  return count == kBlock && byte_at(to, kBlock - 1) == 'x' ? 0 : kNo;
}

static int renamed(unsigned flags) {
  close(make("a"));
  close(make("b"));
  return done(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", flags));
}

static int not_replaced(void) {
  const int result = renamed(RENAME_NOREPLACE);
  return result == -EEXIST ? 0 : result == 0 ? kNo : result;
}
static int exchanged(void) {
  const int result = renamed(RENAME_EXCHANGE);
  return result == 0 && access("a", F_OK) != 0 ? kNo : result;
}
static int whiteout(void) {
  const int result = renamed(RENAME_WHITEOUT);
  struct stat status = {0};
  if (result == 0 && (stat("a", &status) != 0 || !S_ISCHR(status.st_mode))) return kNo;
  return result;
}

static int attribute(const char* name) {
  char value[sizeof kText];
  close(make("attribute"));
  if (setxattr("attribute", name, kText, sizeof kText, 0) != 0) return done(-1);
  if (getxattr("attribute", name, value, sizeof value) != sizeof value) return done(-1);
  char names[1024];
  const ssize_t size = listxattr("attribute", names, sizeof names);
  return memmem(names, size < 0 ? 0 : (size_t)size, name, strlen(name) + 1) != NULL ? 0 : kNo;
}

static int user_attribute(void) { return attribute("user.test"); }
static int trusted_attribute(void) { return attribute("trusted.test"); }
static int security_attribute(void) { return attribute("security.test"); }

// user::rw- user:1234:r-- group::r-- mask::r-- other::r--
static int acl(void) {
  static const struct {
    uint32_t version;
    struct {
      uint16_t tag, permissions;
      uint32_t id;
    } entries[5];
  } kAcl = {2, {{1, 6, -1}, {2, 4, 1234}, {4, 4, -1}, {16, 4, -1}, {32, 4, -1}}};
  close(make("acl"));
  return done(setxattr("acl", "system.posix_acl_access", &kAcl, sizeof kAcl, 0));
}

static int temporary(void) {
  char path[64];
  const int fd = open(".", O_TMPFILE | O_RDWR, 0644);
  if (fd < 0) return done(-1);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return done(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
}

static int busy(int result) { return result == 0 ? kNo : errno == EAGAIN ? 0 : done(-1); }

static int flocked(void) {
  if (flock(make("flock"), LOCK_EX | LOCK_NB) != 0) return done(-1);
  return busy(flock(open("flock", O_RDWR), LOCK_EX | LOCK_NB));
}

static int ofd_locked(void) {
  struct flock all = {.l_type = F_WRLCK};
  if (fcntl(make("ofd"), F_OFD_SETLK, &all) != 0) return done(-1);
  return busy(fcntl(open("ofd", O_RDWR), F_OFD_SETLK, &all));
}

static int leased(void) {
  close(make("lease"));
  return done(fcntl(open("lease", O_RDONLY), F_SETLEASE, F_RDLCK));
}

static int socket_met(void) {
  const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  const struct sockaddr* const at = (const struct sockaddr*)&address;
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, at, sizeof address) != 0 || listen(listener, 1) != 0) return done(-1);
  return done(connect(socket(AF_UNIX, SOCK_STREAM, 0), at, sizeof address));
}

static int fifo_met(void) {
  if (mkfifo("fifo", 0644) != 0 || open("fifo", O_RDONLY | O_NONBLOCK) < 0) return done(-1);
  return done(open("fifo", O_WRONLY | O_NONBLOCK));
}

static int device_made(void) {
  if (mknod("null", S_IFCHR | 0666, makedev(1, 3)) != 0) return done(-1);
  return done(open("null", O_RDWR));
}

static int watched(void) {
  char event[512];
  const int inotify = inotify_init1(IN_NONBLOCK);
  if (inotify_add_watch(inotify, ".", IN_CREATE) < 0) return done(-1);
  close(make("watched"));
  return read(inotify, event, sizeof event) > 0 ? 0 : kNo;
}

static int born(void) {
  struct statx status;
  close(make("born"));
  if (statx(AT_FDCWD, "born", 0, STATX_BTIME, &status) != 0) return done(-1);
  return (status.stx_mask & STATX_BTIME) != 0 ? 0 : kNo;
}

static int flagged(void) {
  int flags = 0;
  const int fd = make("flagged");
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return done(-1);
  flags |= FS_NODUMP_FL;
  return done(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

static int handle(void) {
  struct {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
  } found = {.head.handle_bytes = MAX_HANDLE_SZ};
  int mount = 0;
  close(make("handle"));
  return done(name_to_handle_at(AT_FDCWD, "handle", &found.head, &mount, 0));
}

static int hard_linked(void) {
  close(make("first"));
  return done(link("first", "second"));
}

static int nanoseconds(void) {
  const struct timespec times[2] = {{.tv_sec = 1, .tv_nsec = 234567891},
                                    {.tv_sec = 1, .tv_nsec = 234567891}};
  struct stat status;
  close(make("times"));
  if (utimensat(AT_FDCWD, "times", times, 0) != 0 || stat("times", &status) != 0) return done(-1);
  return status.st_mtim.tv_nsec == times[1].tv_nsec ? 0 : kNo;
}

static int kept_when_unlinked(void) {
  const int fd = filled("unlinked");
  if (unlink("unlinked") != 0) return done(-1);
  return byte_at(fd, 0) == 'x' ? 0 : kNo;
}

static int set_id(void) {
  struct stat status;
  close(make("setid"));
  if (chmod("setid", 06755) != 0 || stat("setid", &status) != 0) return done(-1);
  return (status.st_mode & 06000) == 06000 ? 0 : kNo;
}

static const struct {
  const char* name;
  int (*call)(void);
} kCalls[] = {
    {"`O_DIRECT`", direct},
    {"`mmap` shared, and `write` beside it", mapped},
    {"a file that is open and unlinked", kept_when_unlinked},
    {"`O_TMPFILE`, named later", temporary},
    {"`fallocate`, also beyond the size", allocated},
    {"`FALLOC_FL_PUNCH_HOLE`", punched},
    {"`FALLOC_FL_ZERO_RANGE`", zeroed},
    {"`FALLOC_FL_COLLAPSE_RANGE`", collapsed},
    {"`FALLOC_FL_INSERT_RANGE`", inserted},
    {"sparse files", sparse},
    {"`SEEK_HOLE`, `SEEK_DATA`", holes},
    {"`FICLONE` (reflink)", cloned},
    {"`copy_file_range`", range_copied},
    {"`RENAME_NOREPLACE`", not_replaced},
    {"`RENAME_EXCHANGE`", exchanged},
    {"`RENAME_WHITEOUT`", whiteout},
    {"hard links", hard_linked},
    {"set-user-id, set-group-id", set_id},
    {"`user.*` attributes", user_attribute},
    {"`trusted.*` attributes", trusted_attribute},
    {"`security.*` attributes", security_attribute},
    {"POSIX ACLs", acl},
    {"flags of `lsattr`, `chattr`", flagged},
    {"times in nanoseconds", nanoseconds},
    {"time of birth", born},
    {"`name_to_handle_at`", handle},
    {"`flock`", flocked},
    {"OFD locks", ofd_locked},
    {"leases", leased},
    {"unix sockets", socket_met},
    {"fifos", fifo_met},
    {"device nodes", device_made},
    {"inotify, of changes in the machine", watched},
};

static int removed(const char* path, const struct stat* status, int kind, struct FTW* place) {
  (void)status, (void)kind, (void)place;
  return remove(path);
}

// In a process and a directory of its own, which go again.
static void say(const char* directory, int (*call)(void)) {
  char name[] = "supports-XXXXXX";
  int* const result =
      mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  *result = -EINTR;  // of one that dies
  if (chdir(directory) != 0 || mkdtemp(name) == NULL) {
    *result = done(-1);
  } else {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      *result = chdir(name) != 0 ? done(-1) : call();
      _exit(0);
    }
    waitpid(child, NULL, 0);
    nftw(name, removed, 8, FTW_DEPTH | FTW_PHYS);
  }
  printf(" | %s", *result == 0 ? "yes" : *result == kNo ? "no" : strerrorname_np(-*result));
  munmap(result, sizeof *result);
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  for (size_t i = 0; i < sizeof kCalls / sizeof *kCalls; ++i) {
    printf("| %s", kCalls[i].name);
    for (int d = 1; d < argc; ++d) say(argv[d], kCalls[i].call);
    puts(" |");
  }
  return 0;
}
