#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# ccache-precompiled-header-bytes.sh - an object that depends on whether ccache was there.
#
# Software   ccache 4.7.5 (4.8+really4.7.5-1) with g++ 12.2.0 (Debian 12), a precompiled header, -g
# Guess      what ccache stores and gives back is, byte for byte, what the compiler alone would have made:
#            builds that are to be reproducible may use it.
# Behaviour  for a source that uses a precompiled header ccache adds -fpch-preprocess to the compilation,
#            on misses as well. g++ writes its options into the debug information (DW_AT_producer), so the
#            object, the debug link and the build id of what is linked differ from a build without ccache.
#            Sources without a precompiled header do not. -gno-record-gcc-switches makes them equal again.
# Seen       two packages of one commit, one built with ccache: all programs differ, in this string alone.
# In kata-cpp  the preset "package" has -gno-record-gcc-switches; tests/package/run -k another_place.
#
# Needs apt and g++. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

version=4.8+really4.7.5-1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

command -v g++ >/dev/null || cannot "g++ is missing"
(cd "$work" && apt-get download -q "ccache=$version" libhiredis0.14 >download.log 2>&1) ||
  cannot "apt has no ccache=$version: $(tail -n 1 "$work/download.log")"
for deb in "$work"/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
ccache=$work/root/usr/bin/ccache
# What its manual asks for where there are precompiled headers.
export CCACHE_DIR=$work/cache CCACHE_SLOPPINESS=pch_defines,time_macros
"$ccache" --version >"$work/version" || cannot "ccache does not run here"

cd "$work"
printf '#include <string>\n' >all.h
printf '#include "all.h"\nstd::string Word() { return "word"; }\n' >word.cc
g++ -g -O1 -c all.h -o all.h.gch

compile() { "${@:2}" -g -O1 -include all.h -c word.cc -o "$1.o"; }
producer() { readelf --debug-dump=info "$1.o" | sed -n 's/.*DW_AT_producer.*): //p' | head -n 1; }

compile alone g++
compile miss "$ccache" g++
compile hit "$ccache" g++
compile quiet g++ -gno-record-gcc-switches
compile quiet-miss "$ccache" g++ -gno-record-gcc-switches

head -n 1 version
printf 'alone   %s\nccache  %s\n' "$(producer alone)" "$(producer miss)"
cmp -s miss.o hit.o || cannot "ccache does not give back what it has stored"
if cmp -s alone.o miss.o; then
  printf 'changed: with and without ccache the object is the same\n' >&2
  exit 1
fi
[[ $(producer miss) == *-fpch-preprocess* && $(producer alone) != *-fpch-preprocess* ]] || {
  printf 'changed: the objects differ in something else\n' >&2
  exit 1
}
cmp -s quiet.o quiet-miss.o || {
  printf 'changed: the objects differ although no options are written down\n' >&2
  exit 1
}
printf 'the same source, header and options: two objects; without options in the debug information, one\n'
