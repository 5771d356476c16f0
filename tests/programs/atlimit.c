// SPDX-License-Identifier: Apache-2.0
//
// atlimit MIB HOW FILE SECONDS - holds MIB of memory and reads FILE again and again for that long, as
// programs do that are busy at their memory limit. Prints how often it came to the file's end.
//
// HOW  read  with read(2)
//      map   by faults, page after page
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void Die(const char *what) {
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  const size_t held = (size_t)atol(argv[1]) << 20;
  char *const memory = malloc(held);
  if (memory == NULL) Die("malloc");
  memset(memory, 1, held);
  const int fd = open(argv[3], O_RDONLY);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) Die(argv[3]);
  const size_t size = (size_t)status.st_size;
  const int map = strcmp(argv[2], "map") == 0;
  const char *const pages = map ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
  if (map && pages == MAP_FAILED) Die("mmap");
  static char buffer[65536];
  unsigned sum = 0;
  size_t at = 0;
  int times = 0;
  for (const double end = Now() + atof(argv[4]); Now() < end;) {
    if (map) {
      sum += (unsigned char)pages[at];
    } else if (pread(fd, buffer, sizeof buffer, (off_t)at) < 0) {
      Die("pread");
    }
    at += map ? 4096 : sizeof buffer;
    if (at >= size) {
      at = 0;
      ++times;
    }
  }
  printf("%d times %u\n", times, sum % 2 + (unsigned char)memory[held / 2]);
  return 0;
}
