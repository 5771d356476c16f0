// SPDX-License-Identifier: Apache-2.0
//
// Whether two processes meet at the files of a directory.
//
//   meet hold DIR   takes locks, maps, listens and reads there, and says "ready"
//   meet try DIR    says of each whether that is seen: "met", or the errno of a lock that is busy
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int at(const char *name, int flags) { return open(name, flags, 0644); }

static int lock(int fd, int command, short type) {
  struct flock all = {.l_type = type};
  return fcntl(fd, command, &all);
}

static void say(const char *what, int busy) {
  printf("%s %s\n", what, busy ? strerrorname_np(errno) : "free");
}

// One byte of a file that is mapped shared; null where that cannot be.
static volatile char *map(int flags, int access) {
  const int fd = at("map", flags);
  if ((flags & O_CREAT) != 0 && ftruncate(fd, 1) != 0) return NULL;
  void *byte = mmap(NULL, 1, access, MAP_SHARED, fd, 0);
  return byte == MAP_FAILED ? NULL : byte;
}

static int hold(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (flock(at("flock", O_RDWR | O_CREAT), LOCK_EX) != 0 ||
      lock(at("posix", O_RDWR | O_CREAT), F_SETLK, F_WRLCK) != 0 ||
      lock(at("ofd", O_RDWR | O_CREAT), F_OFD_SETLK, F_WRLCK) != 0 || mkfifo("fifo", 0644) != 0 ||
      at("fifo", O_RDONLY | O_NONBLOCK) < 0 ||
      bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, 8) != 0) {
    perror("hold");
    return 1;
  }
  volatile char *const byte = map(O_RDWR | O_CREAT, PROT_READ | PROT_WRITE);
  if (byte == NULL) {
    perror("map");
    return 1;
  }
  *byte = 7;
  puts("ready");
  for (;;) pause();
}

static int try(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  say("flock", flock(at("flock", O_RDONLY), LOCK_SH | LOCK_NB) != 0);
  say("posix", lock(at("posix", O_RDONLY), F_SETLK, F_RDLCK) != 0);
  say("ofd", lock(at("ofd", O_RDONLY), F_OFD_SETLK, F_RDLCK) != 0);
  const int fifo = at("fifo", O_WRONLY | O_NONBLOCK);
  printf("fifo %s\n", fifo < 0 ? strerrorname_np(errno) : "met");
  volatile char *const byte = map(O_RDONLY, PROT_READ);
  printf("map %s\n", byte != NULL && *byte == 7 ? "met" : "stale");
  const int stream = socket(AF_UNIX, SOCK_STREAM, 0);
  const int done = connect(stream, (struct sockaddr *)&address, sizeof address);
  printf("socket %s\n", done != 0 ? strerrorname_np(errno) : "met");
  return 0;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (argc != 3 || chdir(argv[2]) != 0) {
    fputs("usage: meet hold|try DIR\n", stderr);
    return 2;
  }
  return strcmp(argv[1], "hold") == 0 ? hold() : try();
}
