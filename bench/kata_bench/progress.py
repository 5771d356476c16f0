# SPDX-License-Identifier: Apache-2.0
"""Live progress: one line that moves on a terminal; elsewhere a line for each group and runtime that has
something to say."""

import shutil
import sys
import time


def minutes(seconds):
    seconds = max(0, int(seconds))
    return f"{seconds // 60}:{seconds % 60:02d}"


class Progress:
    """take(event) for each event of the worker; close() at the end.

    groups    [(group, share of the time)] in order
    seconds   what the plan allows in all
    """

    def __init__(self, groups, seconds, stream=None, clock=time.monotonic):
        self._stream, self._clock = stream or sys.stderr, clock
        self._live = self._stream.isatty()
        self._groups, self._seconds = dict(groups), seconds
        self._begin = clock()
        self._done, self._group, self._title = set(), None, ""
        self._fraction, self._what = 0.0, "starts"

    def take(self, event):
        kind = event["event"]
        if kind == "stage":
            self._what, self._title = event["text"], ""
            if self._group:
                self._done.add(self._group)
            self._line(event["text"])
        elif kind == "group":
            if self._group:
                self._done.add(self._group)
            self._group, self._title, self._fraction = event["group"], event["title"], 0.0
            self._what = ""
            self._line(f"{event['title']}: {self._done_share() * 100:.0f} % done, "
                       f"about {minutes(self.left())} left")
        elif kind == "step":
            self._fraction = event["fraction"]
            turn = f", round {event['round']} of {event['rounds']}" if event["rounds"] else ""
            self._what = f"{event['runtime']}: {event['what']}{turn}"
        elif kind == "note" and event["text"]:
            self._line(event["text"])
        elif kind == "runtime":
            runtime = event["runtime"]
            notes = "; ".join(runtime["notes"])
            self._line(f"{runtime['name']} {runtime['version']} ({runtime['kind']})"
                       + (f": {notes}" if notes else ""))
        elif kind == "absent":
            self._line(f"{event['name']}: {event['how']}")
        elif kind == "failed":
            self._line(f"ended early: {event['reason']}")
        self._show()

    def _done_share(self):
        total = sum(self._groups.values())
        done = sum(self._groups[group] for group in self._done)
        if self._group in self._groups and self._group not in self._done:
            done += self._groups[self._group] * min(1.0, self._fraction)
        return done / total if total else 1.0

    def left(self):
        """Seconds: what has been used so far says how long the rest takes, the plan says at most how long."""
        elapsed, share = self._clock() - self._begin, self._done_share()
        at_most = max(0.0, self._seconds * (1 - share))
        return at_most if share < 0.05 else min(at_most, elapsed / share * (1 - share))

    def _show(self):
        if not self._live:
            return
        share = self._done_share()
        width = shutil.get_terminal_size().columns
        filled = int(share * 20)
        text = (f"[{'#' * filled}{'.' * (20 - filled)}] {share * 100:3.0f} %  "
                f"{minutes(self.left())} left  {self._title}  {self._what}")
        self._stream.write("\r\x1b[K" + text[:width - 1])
        self._stream.flush()

    def _line(self, text):
        if self._live:
            self._stream.write("\r\x1b[K")
        self._stream.write(f"[{minutes(self._clock() - self._begin)}] {text}\n")
        self._stream.flush()

    def close(self):
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
