#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# overlay-forgets-by-reconfigure.sh - what an overlay has read of layers that somebody else changes.
#
# Software   Linux 6.12 and 6.18, overlayfs; util-linux 2.38 (mount)
# Guess      the kernel's documentation calls changes of a mounted overlay's layers undefined: one sees
#            them, or not, or sooner or later.
# Behaviour  for as long as the mount lives a name that was looked for and not there stays "not found", and a
#            file that was opened from a lower layer keeps the lower content although the upper layer has
#            another one now. Names that were never asked for are seen at once. "mount -o remount", of any
#            options, forgets all of that in 0.1 ms, and open files go on.
# Seen       two overlays over one upper directory, one of the host and one of a guest that has it by
#            virtiofs: what one had made was looked for in vain through the other, both ways, until a remount.
# In kata-cpp  nothing yet: image layers as disks need it.
#
# Needs root. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

[ "$(id -u)" -eq 0 ] || cannot "needs root"
if [ "${1:-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  unshare --mount --propagation private "$0" inside "$work"
  exit
fi

work=$2
cd "$work"
# An upper layer must not be an overlay itself, which a container's /tmp often is.
mount -t tmpfs layers "$work"
cd "$work"
mkdir lower upper work merged
echo old >lower/file
mount -t overlay overlay merged -o lowerdir=lower,upperdir=upper,workdir=work 2>/dev/null ||
  cannot "this kernel has no overlay file system"
cat merged/file >/dev/null
[ ! -e merged/later ] || cannot "merged/later is there from the beginning"
echo new >upper/file
echo there >upper/later
echo there >upper/never-asked
sleep 1

look() { printf '%s: file %s, later %s, never-asked %s\n' "$1" "$(cat merged/file)" \
  "$(cat merged/later 2>/dev/null || echo missing)" "$(cat merged/never-asked 2>/dev/null || echo missing)"; }
uname -sr
look before
before=$(look x)
mount -o remount merged
look after
[ "$before" = "x: file old, later missing, never-asked there" ] &&
  [ "$(look x)" = "x: file new, later there, never-asked there" ] && exit 0
printf 'changed\n' >&2
exit 1
