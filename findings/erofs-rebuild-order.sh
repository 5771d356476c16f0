#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# erofs-rebuild-order.sh - images joined by one of metadata: which one is on top.
#
# Software   erofs-utils 1.8.6-1 (Debian 13), "mkfs.erofs --ovlfs-strip=1 META IMAGE..."
# Guess      sources are named as overlayfs names its lower layers, the topmost first.
# Behaviour  the lowest comes first. The other order is taken without a word: the lower layer's files win, and
#            what an upper layer has deleted is there again. The images must have been made with
#            -Enoinline_data, which is not the default ("unsupported datalayout 2" else).
# In kata-cpp  nothing yet: image layers as disks use an image a layer.
#
# Needs apt and root (a whiteout is a device). Exit status: 0 as described, 1 the behaviour has changed,
# 2 it could not be tried.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

[ "$(id -u)" -eq 0 ] || cannot "needs root"
# shellcheck source=scripts/lib/common.sh
. "$root/scripts/lib/common.sh"
# shellcheck source=scripts/lib/debs.sh
. "$root/scripts/lib/debs.sh"
libraries=
for package in libc6 libuuid1 liblz4-1 liblzma5 libzstd1 libdeflate0 zlib1g libxxhash0 libselinux1 libpcre2-8-0; do
  folder=$(unpack_deb trixie "$package" 2>/dev/null) || cannot "apt has no $package of trixie"
  libraries+=:$folder/usr/lib/x86_64-linux-gnu
  [ "$package" != libc6 ] || loader=$folder/usr/lib64/ld-linux-x86-64.so.2
done
tools=$(unpack_deb trixie erofs-utils 2>/dev/null) || cannot "apt has no erofs-utils of trixie"
run() { "$loader" --library-path "${libraries#:}" "$(find "$tools" -name "$1" -type f | head -n 1)" "${@:2}"; }
run mkfs.erofs --version | head -n 1 || cannot "mkfs.erofs does not run here"

cd "$work"
mkdir lower upper
echo lower | tee lower/both lower/deleted >/dev/null
echo upper >upper/both
mknod upper/deleted c 0 0
for layer in lower upper; do run mkfs.erofs --quiet -Enoinline_data "$layer.erofs" "$layer"; done

# content ORDER...: what the joined image has.
content() {
  run mkfs.erofs --quiet --ovlfs-strip=1 joined.erofs "$@"
  local found=no
  ! run dump.erofs --ls --path=/ "${@/#/--device=}" joined.erofs | grep -q ' deleted$' || found=yes
  printf 'both: %s, deleted there: %s\n' \
    "$(run dump.erofs --cat --path=/both "${@/#/--device=}" joined.erofs 2>/dev/null || echo ?)" "$found"
}
first=$(content lower.erofs upper.erofs)
other=$(content upper.erofs lower.erofs)
printf 'lowest first:  %s\ntopmost first: %s\n' "$first" "$other"
[[ $first == *"there: no" && $other == *"there: yes" ]] && exit 0
printf 'changed\n' >&2
exit 1
