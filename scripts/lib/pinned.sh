# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# scripts/lib/pinned.sh - what findings run: public packages of one version, whatever the host has.
# Sourced with `root` the tree and `work` a temporary folder.

: "${root:?the tree}" "${work:?a temporary folder}"
# shellcheck source=scripts/lib/common.sh
. "$root/scripts/lib/common.sh"
# shellcheck source=scripts/lib/debs.sh
. "$root/scripts/lib/debs.sh"

kernel_modules=() machine_options=()

# A finding that is neither so nor otherwise.
cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

# pinned_deb SUITE PACKAGE=VERSION: the folder of the unpacked package, as unpack_deb.
pinned_deb() {
  local package=${2%%=*} version=${2#*=} folder
  folder=$(unpack_deb "$1" "$package" 2>/dev/null) || cannot "apt has no $package of $1"
  version=${package}_${version//[:~]/_}
  [ "${folder##*/}" = "$version" ] || cannot "$1 has ${folder##*/} by now, not $version"
  printf '%s' "$folder"
}

# pinned_qemu PACKAGE=VERSION...: Debian 12's QEMU, put together of these below `work`.
pinned_qemu() {
  local package folder program=$work/qemu/usr/bin/qemu-system-x86_64
  mkdir -p "$work/qemu"
  for package in "$@"; do
    folder=$(pinned_deb bookworm "$package") || exit
    cp -a "$folder/." "$work/qemu/"
  done
  "$program" --version >/dev/null 2>&1 || cannot "this host lacks libraries of $1"
  printf '%s' "$program"
}

# pinned_backport qemu-system-x86=VERSION: the program that runs QEMU of bookworm-backports.
pinned_backport() {
  local program version=${1#*=}
  program=$("$root/scripts/fetch-qemu" 2>/dev/null) || cannot "QEMU of bookworm-backports cannot be fetched"
  "$program" --version | grep -qF "(Debian $version)" || cannot "bookworm-backports has another QEMU than $version by now"
  printf '%s' "$program"
}

# under_kernel KERNEL=VERSION BUSYBOX=VERSION SCRIPT: what SCRIPT, for busybox's sh as root of an emulated
# machine of its own with that kernel of bookworm-backports, prints. /overlay.ko is the kernel's module;
# those of the array kernel_modules are beside it, unless built in. machine_options: QEMU's, more of them.
under_kernel() {
  local kernel busybox module packed tree=$work/tree
  command -v qemu-system-x86_64 cpio >/dev/null || cannot "needs qemu-system-x86 and cpio"
  kernel=$(pinned_deb bookworm-backports "$1") || exit
  busybox=$(pinned_deb bookworm "$2") || exit
  mkdir -p "$tree"/{bin,dev,proc,tmp}
  cp "$busybox/bin/busybox" "$tree/bin/busybox"
  ln -s busybox "$tree/bin/sh"
  for module in overlay "${kernel_modules[@]}"; do
    packed=$(find "$kernel" -name "$module.ko.xz")
    [ -z "$packed" ] || xz -dc "$packed" >"$tree/$module.ko"
  done
  printf '%s\n' '#!/bin/sh' '/bin/busybox --install -s /bin' 'export PATH=/bin' \
    'mount -t proc proc /proc' 'echo; echo begin' "$3" 'echo end' 'poweroff -f' >"$tree/init"
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initrd"
  timeout 300 qemu-system-x86_64 -accel tcg -cpu Nehalem -m 256 -nographic -no-reboot -nodefaults \
    -serial file:"$work/console" -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initrd" \
    -append 'console=ttyS0 quiet panic=-1 clearcpuid=cx16' "${machine_options[@]}" </dev/null >/dev/null 2>&1 ||
    cannot "the machine does not end"
  tr -d '\r' <"$work/console" | sed -n '/^begin$/,/^end$/p' | sed '1d;$d'
}
