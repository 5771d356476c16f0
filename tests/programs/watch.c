// SPDX-License-Identifier: Apache-2.0
//
// watch PATH - what inotify tells of a directory or file: "watching", then a line for each event,
// such as "moved-to ..data".
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

static const struct {
  unsigned mask;
  const char* word;
} kWords[] = {{IN_CREATE, "create"},         {IN_DELETE, "delete"},
              {IN_MOVED_FROM, "moved-from"}, {IN_MOVED_TO, "moved-to"},
              {IN_MODIFY, "modify"},         {IN_CLOSE_WRITE, "close-write"},
              {IN_ATTRIB, "attrib"},         {IN_DELETE_SELF, "delete-self"}};

int main(int argc, char** argv) {
  _Alignas(struct inotify_event) char buffer[4096];
  unsigned all = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  const int inotify = inotify_init();
  for (size_t i = 0; i < sizeof kWords / sizeof *kWords; ++i) all |= kWords[i].mask;
  if (argc != 2 || inotify_add_watch(inotify, argv[1], all) < 0) {
    perror("watch");
    return 1;
  }
  puts("watching");
  for (;;) {
    const ssize_t size = read(inotify, buffer, sizeof buffer);
    if (size <= 0) return 1;
    for (const char* at = buffer; at < buffer + size;) {
      const struct inotify_event* const event = (const struct inotify_event*)at;
      for (size_t i = 0; i < sizeof kWords / sizeof *kWords; ++i) {
        if ((event->mask & kWords[i].mask) != 0) {
          printf("%s %s\n", kWords[i].word, event->len > 0 ? event->name : ".");
        }
      }
      at += sizeof *event + event->len;
    }
  }
}
