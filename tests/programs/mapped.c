// SPDX-License-Identifier: Apache-2.0
//
// mapped FILE TEXT - leaves TEXT in FILE through a shared mapping, and gives nobody a reason to write
// it back: the descriptor is closed before the first byte is written, and nothing is synchronized.
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const size_t size = strlen(argv[2]);
  const int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || ftruncate(fd, size) != 0) return 3;
  char *const map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return 4;
  close(fd);
  memcpy(map, argv[2], size);
  _exit(0);
}
