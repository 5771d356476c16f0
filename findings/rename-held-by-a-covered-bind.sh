#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# rename-held-by-a-covered-bind.sh - a directory that cannot be renamed though nothing is mounted on it.
#
# Software   Linux 6.12.95 (Debian 12 backports 6.12.95-1~bpo12+1)
# Guess      rename and rmdir say EBUSY where the directory is a mount point on the path that is used; another
#            bind mount of its parent shows it as a plain directory, which can be renamed there.
# Behaviour  a mount on the directory through any bind mount of its parent in the same mount namespace holds
#            it everywhere in that namespace, even where the mount is covered by another one and no path leads
#            to it. Since it is no mount point on the path that is used, files still move between it and its
#            neighbours by rename (no EXDEV). Another mount namespace, without those mounts, renames it.
# In kata-cpp  src/host/storage/upper_guard.h keeps an overlay's upper and work directories in place so while
#            a guest may write to both.
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

# busybox's mv copies where rename(2) fails with EXDEV, and then the inode is another one.
said=$(under_kernel "$kernel" "$busybox" '
mount -t tmpfs top /tmp && cd /tmp && mkdir -p parent/upper parent/work used aside/bind && touch parent/work/file
inode() { ls -i "$1" | { read -r number rest; echo "$number"; }; }
uname -r
mount --bind parent used; mount --bind parent aside/bind
mount -t tmpfs held aside/bind/upper; mount -t tmpfs held aside/bind/work
mount -t tmpfs cover aside
mv used/upper used/elsewhere 2>&1 | sed "s/.*: //"
rmdir used/upper 2>&1 | sed "s/.*: //"
before=$(inode used/work/file); mv used/work/file used/upper/file
[ "$(inode parent/upper/file)" = "$before" ] && echo a file moved
unshare -m sh -c "umount aside && umount aside/bind/upper && mv used/upper used/elsewhere && echo renamed elsewhere"')
printf '%s\n' "$said"
[ "$said" = "6.12.95+deb12-cloud-amd64
Device or resource busy
Device or resource busy
a file moved
renamed elsewhere" ] && exit 0
printf 'changed\n' >&2
exit 1
