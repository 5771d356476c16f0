#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# overlay-forgets-by-reconfigure.sh - what an overlay has read of layers that somebody else changes.
#
# Software   Linux 6.12.95 (Debian 12 backports 6.12.95-1~bpo12+1), overlayfs
# Guess      the kernel's documentation calls changes of a mounted overlay's layers undefined: one sees
#            them, or not, or sooner or later.
# Behaviour  for as long as the mount lives a name that was looked for and not there stays "not found", and a
#            file that was opened from a lower layer keeps the lower content although the upper layer has
#            another one now. Names that were never asked for are seen at once. "mount -o remount", of any
#            options, forgets all of that.
# Seen       two overlays over one upper directory, one of the host and one of a guest that has it by
#            virtiofs: what one had made was looked for in vain through the other, both ways, until a remount.
# In kata-cpp  src/host/storage/upper_watch.h has each overlay of a container look anew when the other wrote.
#
# Needs apt, QEMU and cpio. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=scripts/lib/pinned.sh
. "$root/scripts/lib/pinned.sh"

kernel="linux-image-6.12.95+deb12-cloud-amd64=6.12.95-1~bpo12+1"
busybox="busybox-static=1:1.35.0-4+deb12u1+b1"

said=$(under_kernel "$kernel" "$busybox" '
insmod /overlay.ko && mount -t tmpfs layers /tmp && cd /tmp && mkdir lower upper work merged
echo old >lower/file
mount -t overlay overlay merged -o lowerdir=lower,upperdir=upper,workdir=work
cat merged/file merged/later >/dev/null 2>&1
echo new >upper/file; echo there >upper/later; echo there >upper/never-asked
look() { for name in file later never-asked; do cat merged/$name 2>/dev/null || echo missing; done; }
uname -r
sleep 1
echo before $(look)
mount -o remount merged
echo after $(look)')
printf '%s\n' "$said"
[ "$said" = "6.12.95+deb12-cloud-amd64
before old missing there
after new there there" ] && exit 0
printf 'changed\n' >&2
exit 1
