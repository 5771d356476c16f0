# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What findings about the kernel share: one kernel, whatever the host has. Sourced with `root` the tree
# and `work` a temporary folder.
#
# Software   Linux 6.12.95 (Debian 12 backports: linux-image-6.12.95+deb12-cloud-amd64 6.12.95-1~bpo12+1),
#            busybox-static (Debian 12: 1:1.35.0-4+deb12u1+b1), QEMU's TCG.

: "${root:?the tree}" "${work:?a temporary folder}"

cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

# shellcheck source=scripts/lib/common.sh
. "$root/scripts/lib/common.sh"
# shellcheck source=scripts/lib/debs.sh
. "$root/scripts/lib/debs.sh"

# under_debian_kernel SCRIPT: what SCRIPT, for busybox's sh as root of a machine of its own, prints.
# /overlay.ko is that kernel's module.
under_debian_kernel() {
  local package=linux-image-6.12.95+deb12-cloud-amd64 kernel busybox tree=$work/tree
  command -v qemu-system-x86_64 cpio >/dev/null || cannot "needs qemu-system-x86 and cpio"
  kernel=$(unpack_deb bookworm-backports "$package" 2>/dev/null) || cannot "apt has no $package"
  busybox=$(unpack_deb bookworm busybox-static 2>/dev/null) || cannot "apt has no busybox-static"
  mkdir -p "$tree"/{bin,dev,proc,tmp}
  cp "$busybox/bin/busybox" "$tree/bin/busybox"
  ln -s busybox "$tree/bin/sh"
  xz -dc "$(find "$kernel" -name overlay.ko.xz)" >"$tree/overlay.ko"
  printf '%s\n' '#!/bin/sh' '/bin/busybox --install -s /bin' 'export PATH=/bin' \
    'mount -t proc proc /proc' 'echo; echo begin' "$1" 'echo end' 'poweroff -f' >"$tree/init"
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initrd"
  timeout 300 qemu-system-x86_64 -accel tcg -cpu Nehalem -m 256 -nographic -no-reboot -nodefaults \
    -serial file:"$work/console" -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initrd" \
    -append 'console=ttyS0 quiet panic=-1 clearcpuid=cx16' </dev/null >/dev/null 2>&1 ||
    cannot "the machine does not end"
  tr -d '\r' <"$work/console" | sed -n '/^begin$/,/^end$/p' | sed '1d;$d'
}
