#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# overlay-over-virtiofs-hard-links.sh - a file in an overlay whose upper directory is on virtiofs loses its
# second name with its first one.
#
# Software   Linux 6.12.95 (Debian 12 backports 6.12.95-1~bpo12+1), overlayfs over virtiofs; virtiofsd of
#            QEMU 7.2 (Debian 12 qemu-system-common 1:7.2+dfsg-7+deb12u18+b3)
# Guess      a hard link is a name like any other: what is removed by its first name is there by its second.
# Behaviour  where the second name has been used before the first one goes, it answers ESTALE from then on, to
#            everybody in that guest, as long as the file is known to it; the file is whole on the host, and in
#            the share below the overlay. On tmpfs it is well.
# Cause      overlayfs keeps one name of the upper file for all of its own names, and has virtiofs look whether
#            that one is still there (ovl_revalidate_real).
# Seen       over twenty of the tests of Python 3.11 for os, posix, shutil and tempfile failed in such a root.
# In kata-cpp  our own guest kernel looks the name up anew (guest-image/README.md); on others roots are shared.
#
# Needs root, apt, QEMU and cpio. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$work"' EXIT
# shellcheck source=scripts/lib/pinned.sh
. "$root/scripts/lib/pinned.sh"

kernel="linux-image-6.12.95+deb12-cloud-amd64=6.12.95-1~bpo12+1"
busybox="busybox-static=1:1.35.0-4+deb12u1+b1"
folder=$(pinned_deb bookworm "qemu-system-common=1:7.2+dfsg-7+deb12u18+b3")

mkdir "$work/share"
"$folder/usr/lib/qemu/virtiofsd" --socket-path="$work/share.sock" -o source="$work/share" -o xattr \
  -o modcaps=+sys_admin >"$work/daemon.log" 2>&1 &
daemon=$!
for _ in {1..50}; do
  [ -S "$work/share.sock" ] || sleep 0.1
done
[ -S "$work/share.sock" ] || cannot "virtiofsd does not listen: $(tail -n 1 "$work/daemon.log")"

# What under_kernel has besides.
kernel_modules=(virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci fuse virtiofs)
machine_options=(-object "memory-backend-memfd,id=ram,size=256M,share=on" -machine memory-backend=ram
  -chardev "socket,id=share,path=$work/share.sock" -device "vhost-user-fs-pci,chardev=share,tag=share")

said=$(under_kernel "$kernel" "$busybox" '
for name in '"${kernel_modules[*]}"' overlay; do [ ! -e /$name.ko ] || insmod /$name.ko; done
mkdir /share /lower /local /merged && mount -t virtiofs share /share && mount -t tmpfs local /local
links() {
  mkdir $1/upper $1/work
  mount -t overlay overlay /merged -o lowerdir=/lower,upperdir=$1/upper,workdir=$1/work
  cd /merged && echo content >first && ln first second && cat second && rm first
  cat second 2>&1
  cat $1/upper/second
  cd / && umount /merged
}
uname -r
links /local
links /share')
printf '%s\n' "$said"
[ "$said" = "6.12.95+deb12-cloud-amd64
content
content
content
content
cat: can't open 'second': Stale file handle
content" ] && exit 0
printf 'changed\n' >&2
exit 1
