// SPDX-License-Identifier: Apache-2.0
//
// probe - what kata-bench runs inside of containers. Static, so that it runs on any file system.
//
//   probe hello                writes one byte: the mark of a program's first instruction
//   probe time COMMAND...      runs COMMAND and prints the seconds that it took, by the container's clock
//   probe getpid SECONDS       calls per second of getpid(2)
//   probe stat SECONDS PATH    ... of stat(2)
//   probe open SECONDS PATH    ... of open(2) and close(2)
//   probe fork SECONDS         programs per second that are forked, executed and waited for
//   probe copy SECONDS         MiB per second that are copied between two large buffers
//   probe status ROUNDS DIR    seconds of ROUNDS walks over DIR that look at every file, as git status does
//   probe small COUNT DIR      files per second: COUNT are made in DIR, which is new, then read, then removed
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static int Fail(const char* what) {
  perror(what);
  return 1;
}

static int Wait(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int Time(char** argv) {
  pid_t child;
  double begin = Now();
  if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ) != 0) return Fail(argv[0]);
  int code = Wait(child);
  double seconds = Now() - begin;
  printf("%.6f\n", seconds);
  return code;
}

static int CallGetpid(const char* path) {
  (void)path;
  return syscall(SYS_getpid) > 0;
}

static int CallStat(const char* path) {
  struct stat status;
  return stat(path, &status) == 0;
}

static int CallOpen(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  return fd >= 0 && close(fd) == 0;
}

static int CallFork(const char* path) {
  pid_t child;
  char* argv[] = {(char*)path, "end", NULL};
  return posix_spawn(&child, path, NULL, NULL, argv, environ) == 0 && Wait(child) == 0;
}

// The clock is read once for `batch` calls, so that it is no part of the figure.
static int Rate(int (*call)(const char*), const char* path, double seconds, int batch) {
  long long count = 0;
  double begin = Now(), end;
  do {
    for (int i = 0; i < batch; ++i) {
      if (!call(path)) return Fail(path);
    }
    count += batch;
    end = Now();
  } while (end - begin < seconds);
  printf("%.1f\n", count / (end - begin));
  return 0;
}

static int Copy(double seconds) {
  const size_t size = 32u << 20;
  char* from = malloc(size);
  char* to = malloc(size);
  if (from == NULL || to == NULL) return Fail("malloc");
  memset(from, 1, size);
  memset(to, 2, size);
  long count = 0;
  double begin = Now(), end;
  do {
    memcpy(to, from, size);
    // What is copied counts as used, and the next copy as another one.
    __asm__ volatile("" : : "r"(to), "r"(from) : "memory");
    ++count;
    end = Now();
  } while (end - begin < seconds);
  printf("%.1f\n", count * (size >> 20) / (end - begin));
  return 0;
}

static long Walk(int parent, const char* name) {
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = fd < 0 ? NULL : fdopendir(fd);
  if (dir == NULL) return -1;
  long count = 0;
  struct dirent* entry;
  while ((entry = readdir(dir)) != NULL) {
    struct stat status;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    ++count;
    if (S_ISDIR(status.st_mode)) count += Walk(dirfd(dir), entry->d_name);
  }
  closedir(dir);
  return count;
}

static int Status(int rounds, const char* path) {
  double begin = Now();
  for (int i = 0; i < rounds; ++i) {
    if (Walk(AT_FDCWD, path) <= 0) return Fail(path);
  }
  printf("%.6f\n", Now() - begin);
  return 0;
}

static int MakeFile(const char* name) {
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  return fd >= 0 && write(fd, "text\n", 5) == 5 && close(fd) == 0;
}

static int ReadFile(const char* name) {
  char text[8];
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  return fd >= 0 && read(fd, text, sizeof text) == 5 && close(fd) == 0;
}

static int RemoveFile(const char* name) { return unlink(name) == 0; }

static int Small(int count, const char* path) {
  static int (*const kSteps[])(const char*) = {MakeFile, ReadFile, RemoveFile};
  if (mkdir(path, 0755) != 0 || chdir(path) != 0) return Fail(path);
  double begin = Now();
  for (int step = 0; step < 3; ++step) {
    for (int i = 0; i < count; ++i) {
      char name[16];
      snprintf(name, sizeof name, "%d", i);
      if (!kSteps[step](name)) return Fail(path);
    }
  }
  printf("%.1f\n", count / (Now() - begin));
  return rmdir(path) == 0 ? 0 : Fail(path);
}

int main(int argc, char** argv) {
  const char* word = argc > 1 ? argv[1] : "";
  if (strcmp(word, "end") == 0) return 0;
  if (strcmp(word, "hello") == 0) return write(1, "x", 1) == 1 ? 0 : 1;
  if (strcmp(word, "time") == 0 && argc > 2) return Time(argv + 2);
  if (argc > 2) {
    double seconds = atof(argv[2]);
    if (strcmp(word, "getpid") == 0) return Rate(CallGetpid, "", seconds, 100);
    if (strcmp(word, "fork") == 0) return Rate(CallFork, argv[0], seconds, 1);
    if (strcmp(word, "copy") == 0) return Copy(seconds);
    if (argc > 3) {
      if (strcmp(word, "stat") == 0) return Rate(CallStat, argv[3], seconds, 20);
      if (strcmp(word, "open") == 0) return Rate(CallOpen, argv[3], seconds, 20);
      if (strcmp(word, "status") == 0) return Status(atoi(argv[2]), argv[3]);
      if (strcmp(word, "small") == 0) return Small(atoi(argv[2]), argv[3]);
    }
  }
  fprintf(stderr, "probe: no such work\n");
  return 2;
}
