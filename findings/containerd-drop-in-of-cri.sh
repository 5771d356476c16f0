#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# containerd-drop-in-of-cri.sh - a drop-in that adds one runtime handler, and what becomes of the others.
#
# Software   containerd 1.6.20, 1.7.24 and 2.1.9 (Debian 12, 13 and sid), "imports" of config.toml
# Guess      a drop-in is merged into the main file, key by key, as crio.conf.d and containers.conf.d are.
# Behaviour  1.6 and 1.7 drop all that the main file says of a plugin which the drop-in names: its CNI
#            folder, its pause image, SystemdCgroup. 2.1 merges, but files of one version only: a drop-in
#            of version 3 beside a main file of version 2 makes the main file's CRI settings void (a
#            warning for each key), and one of version 2 beside version 3 does nothing, without a word.
# Seen       main SystemdCgroup = true; afterwards: gone, gone, false; and no runtime "kata" in the last
# In kata-cpp  src/host/cli/setup/containerd_plan.cc: 1.x has a block in the main file, 2.x a drop-in of
#            the main file's version, and "config dump" is compared before anything is written.
#
# Needs apt (scripts/fetch-containerd). Exit status: 0 as described, 1 the behaviour has changed, 2 it
# could not be tried.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/conf.d"

plugin() { if [ "$1" = 2 ]; then echo io.containerd.grpc.v1.cri; else echo io.containerd.cri.v1.runtime; fi; }

# dump SERIES MAIN-VERSION DROP-IN-VERSION: what containerd makes of the two files.
dump() {
  local bin
  if ! bin=$("$root/scripts/fetch-containerd" "$1" 2>/dev/null | awk '{ print $3 }') || [ -z "$bin" ]; then
    echo "not tried: scripts/fetch-containerd $1 failed" >&2
    exit 2
  fi
  printf 'version = %s\nimports = ["%s/conf.d/*.toml"]\n' "$2" "$work" >"$work/main.toml"
  printf '[plugins."%s".containerd.runtimes.runc.options]\nSystemdCgroup = true\n' "$(plugin "$2")" \
    >>"$work/main.toml"
  printf 'version = %s\n[plugins."%s".containerd.runtimes.kata]\nruntime_type = "io.containerd.kata.v2"\n' \
    "$3" "$(plugin "$3")" >"$work/conf.d/kata.toml"
  "$bin/containerd" --config "$work/main.toml" config dump 2>/dev/null
}

changed=0
# expect SERIES MAIN DROP-IN KEPT ADDED: whether the main file's and the drop-in's word are there.
expect() {
  local text kept=no added=no
  text=$(dump "$1" "$2" "$3")
  ! grep -q 'SystemdCgroup = true' <<<"$text" || kept=yes
  ! grep -q 'runtimes.kata\]' <<<"$text" || added=yes
  printf '%-4s main file of version %s, drop-in of version %s: main file kept %s, handler added %s\n' \
    "$1" "$2" "$3" "$kept" "$added"
  [ "$kept $added" = "$4 $5" ] || changed=1
}

expect 1.6 2 2 no yes
expect 1.7 2 2 no yes
expect 2.1 2 2 yes yes
expect 2.1 3 3 yes yes
expect 2.1 2 3 no yes
expect 2.1 3 2 yes no
exit "$changed"
