# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/kernel.sh - which kernel the build's guests get: our own, or the distribution's.
# Sourced after common.sh and debs.sh.

# What KATA_GUEST_KERNEL may be.
#   auto          our own when it has been built before, else the distribution's
#   own           our own, built when it has not been
#   distribution  the distribution's
guest_kernel_choice() {
  local choice=${KATA_GUEST_KERNEL:-auto}
  case $choice in
    auto | own | distribution) printf '%s' "$choice" ;;
    *) die "KATA_GUEST_KERNEL=$choice: use auto, own or distribution" ;;
  esac
}

# The source of our own kernel: what install-deps has installed, or has unpacked.
kernel_source() {
  local source=/usr/src/linux-source-6.12.tar.xz
  [ -e "$source" ] ||
    source=$KATA_CACHE/debs/bookworm-backports/linux-source-6.12/usr/src/linux-source-6.12.tar.xz
  printf '%s' "$source"
}

# distribution_kernel: prints the folder that holds Debian's kernel for virtual machines, unpacked:
# 6.12 of bookworm-backports on Debian 12, elsewhere the release's own.
# KATA_DEBS_REFRESH=1 looks for a newer one.
distribution_kernel() {
  local suite image home folder package=linux-image-cloud-amd64
  # shellcheck disable=SC1091  # the system's own file
  suite=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  [ "$suite" != bookworm ] || suite=bookworm-backports
  home=$KATA_CACHE/debs/$suite
  if [ -d "$home/$package.image/" ] && [ "${KATA_DEBS_REFRESH:-0}" != 1 ]; then
    readlink -f "$home/$package.image"
    return
  fi
  # The package of this name is empty and depends on the kernel of the day.
  unpack_deb "$suite" "$package" >/dev/null
  image=$(APT_CONFIG=$home/.apt/apt.conf apt-cache depends "$package" |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
  [ -n "$image" ] || die "$package of $suite depends on no kernel"
  folder=$(unpack_deb "$suite" "$image")
  ln -sfn "${folder##*/}" "$home/$package.image"
  readlink -f "$home/$package.image"
}

# describe_guest_kernel DIR: one line about the kernel in DIR, a folder such as build/guest.
describe_guest_kernel() {
  local file=$1/kernel.info
  [ -e "$file" ] || { printf 'none' && return; }
  printf '%s, %s' "$(sed -n 's/^release: //p' "$file")" "$(sed -n 's/^kind: //p' "$file")"
}
