// SPDX-License-Identifier: Apache-2.0
//
// counting DIR - holds what containers hold, below DIR, counts on for ever, and tells which call went
// wrong: a file that is appended to, one with no name any longer, one and its folder renamed after they
// were opened, a half-read directory, a shared mapping, a lock, a connection to itself, a child, a timer,
// random memory with its sum. Each count is a line of standard output: "COUNT ERRORS [FIRST ERROR]".
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kFiles = 200, kMemory = 16 << 20, kPage = 4096, kPort = 4000 };

static int count, errors;
static char first_error[200];

static void expect(const char *what, int fine) {
  if (fine) return;
  if (errors++ == 0) {
    snprintf(first_error, sizeof first_error, " %s at %d: %s", what, count, errno ? strerror(errno) : "wrong");
  }
}
#define EXPECT(what, condition) do { errno = 0; expect(what, condition); } while (0)

static int make(const char *path) { return open(path, O_CREAT | O_RDWR | O_APPEND, 0644); }

static uint64_t sum_of(const uint64_t *memory) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kMemory / sizeof *memory; i++) sum += memory[i];
  return sum;
}

// Files, as they are once all has been opened.
static struct {
  int log, gone, moved, below, locked, other;
  DIR *half_read;
  int folder, seen;
  volatile uint32_t *mapped;
} files;

static void open_files(const char *directory) {
  char name[32];
  mkdir(directory, 0755);
  EXPECT("chdir", chdir(directory) == 0);
  files.log = make("log");
  files.gone = open("gone", O_CREAT | O_RDWR, 0644);
  EXPECT("unlink", unlink("gone") == 0);
  files.moved = open("before", O_CREAT | O_RDWR, 0644);
  EXPECT("rename", rename("before", "after") == 0);
  mkdir("old", 0755);
  files.below = open("old/file", O_CREAT | O_RDWR, 0644);
  EXPECT("rename", rename("old", "new") == 0);
  mkdir("many", 0755);
  for (int i = 0; i < kFiles; i++) {
    snprintf(name, sizeof name, "many/f%d", i);
    close(make(name));
  }
  files.half_read = opendir("many");
  files.folder = open("many", O_RDONLY | O_DIRECTORY);
  files.locked = make("lock");
  files.other = open("lock", O_RDWR);
  EXPECT("flock", flock(files.locked, LOCK_EX) == 0);
  const int map = open("map", O_CREAT | O_RDWR, 0644);
  EXPECT("ftruncate", ftruncate(map, kPage) == 0);
  files.mapped = mmap(0, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
}

static void use_files(void) {
  char text[64];
  int read_back = 0;
  struct stat status;
  const int size = snprintf(text, sizeof text, "%d\n", count);
  EXPECT("append", write(files.log, text, size) == size);
  EXPECT("write to the unlinked", pwrite(files.gone, &count, sizeof count, 0) == sizeof count && fsync(files.gone) == 0);
  posix_fadvise(files.gone, 0, 0, POSIX_FADV_DONTNEED);
  EXPECT("read the unlinked", pread(files.gone, &read_back, sizeof read_back, 0) == sizeof read_back && read_back == count);
  EXPECT("write to the renamed", pwrite(files.moved, &count, sizeof count, 0) == sizeof count);
  EXPECT("write below the renamed", pwrite(files.below, &count, sizeof count, 0) == sizeof count);
  files.mapped[0] = count;
  EXPECT("msync", msync((void *)files.mapped, kPage, MS_SYNC) == 0);
  EXPECT("the lock is held", flock(files.other, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
  const struct dirent *entry = readdir(files.half_read);
  if (entry) {
    files.seen += entry->d_name[0] == 'f';
  } else {
    EXPECT("the whole directory", files.seen == kFiles);
    files.seen = 0;
    rewinddir(files.half_read);
  }
  snprintf(text, sizeof text, "f%d", count % kFiles);
  const int one = openat(files.folder, text, O_RDWR);
  EXPECT("openat", one >= 0 && fstat(one, &status) == 0);
  if (one >= 0) close(one);
}

static struct { int listening, connected, accepted; } sockets;

static void open_sockets(void) {
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kPort), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  sockets.listening = socket(AF_INET, SOCK_STREAM, 0);
  sockets.connected = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT("bind", bind(sockets.listening, (const void *)&address, sizeof address) == 0 && listen(sockets.listening, 5) == 0);
  EXPECT("connect", connect(sockets.connected, (const void *)&address, sizeof address) == 0);
  sockets.accepted = accept(sockets.listening, 0, 0);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  open_files(argv[1]);
  open_sockets();
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  const struct itimerspec every = {{0, 100000000}, {0, 100000000}};
  timerfd_settime(timer, 0, &every, 0);
  uint64_t *const memory = malloc(kMemory);
  uint64_t random = 88172645463325252ull;
  for (size_t i = 0; i < kMemory / sizeof *memory; i++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    memory[i] = random;
  }
  const uint64_t sum = sum_of(memory);
  volatile uint32_t *const shared = mmap(0, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const pid_t child = fork();
  if (child == 0) {
    for (;; usleep(20000)) shared[0]++;
  }
  uint32_t last_of_child = 0;
  uint64_t fired = 0;
  for (count = 1;; count++) {
    char byte;
    use_files();
    EXPECT("the connection", write(sockets.connected, "a", 1) == 1 && read(sockets.accepted, &byte, 1) == 1);
    if (count % 20 == 0) {
      uint64_t times = 0;
      if (read(timer, &times, sizeof times) == sizeof times) fired += times;
      EXPECT("the timer", fired > 0);
      fired = 0;
      EXPECT("the child", shared[0] != last_of_child && waitpid(child, 0, WNOHANG) == 0);
      last_of_child = shared[0];
    }
    if (count % 50 == 0) EXPECT("the memory", sum_of(memory) == sum);
    printf("%d %d%s\n", count, errors, first_error);
    fflush(stdout);
    usleep(20000);
  }
}
