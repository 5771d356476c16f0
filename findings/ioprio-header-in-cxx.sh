#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ioprio-header-in-cxx.sh - a kernel header that C reads and C++ does not.
#
# Software   linux-libc-dev 6.1.192-3 (Debian 12's kernel headers for programs), any g++ (seen with 12.2.0)
# Guess      <linux/ioprio.h> has numbers and macros for ioprio_set(2), and either language reads it, as it
#            does with 6.1.176-1 of the same suite.
# Behaviour  it got an inline function one of whose parameters is named "class", a word of C++. Whoever
#            includes it in C++ has a build that ends with an ordinary update within one stable suite.
# Seen       linux/ioprio.h:110: error: expected primary-expression before 'int'
# In kata-cpp  src/guest/agent/container/scheduling.cc names the few numbers itself.
#
# Needs apt, gcc and g++. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

version=6.1.192-3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

command -v gcc >/dev/null && command -v g++ >/dev/null || cannot "gcc or g++ is missing"
(cd "$work" && apt-get download -q "linux-libc-dev=$version" >download.log 2>&1) ||
  cannot "apt has no linux-libc-dev=$version: $(tail -n 1 "$work/download.log")"
dpkg-deb -x "$work"/*.deb "$work/root"
include=$work/root/usr/include

cat >"$work/numbers.c" <<'SOURCE'
#include <linux/ioprio.h>
int idle(void) { return IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT; }
SOURCE

compile() {
  "$1" -x "$2" -fsyntax-only -isystem "$include" -isystem "$include/x86_64-linux-gnu" "$work/numbers.c" \
    >"$work/$1.log" 2>&1
}

compile gcc c || cannot "C does not read it either: $(head -n 2 "$work/gcc.log")"
printf 'linux-libc-dev %s: gcc reads <linux/ioprio.h>\n' "$version"
if compile g++ c++; then
  printf 'changed: g++ reads it, too\n' >&2
  exit 1
fi
grep -q 'linux/ioprio\.h:.*error: expected primary-expression before' "$work/g++.log" || {
  printf 'changed: g++ refuses it for another reason\n' >&2
  head -n 5 "$work/g++.log" >&2
  exit 1
}
printf 'g++ %s does not:\n  %s\n' "$(g++ -dumpfullversion)" \
  "$(sed -n 's|.*\(linux/ioprio\.h:[0-9:]* error: .*\)|\1|p' "$work/g++.log" | head -n 1)"
