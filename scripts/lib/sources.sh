# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/sources.sh - Debian source packages, unpacked beside the system with their patches.
# Sourced after common.sh and debs.sh; needs dpkg-dev. As with debs.sh, apt runs with lists, cache
# and status of its own.
#
# Cache: $KATA_CACHE/sources/<suite>/<package>_<version>/ and a link <package> to the one in use.

# unpack_source SUITE PACKAGE: prints the folder that holds PACKAGE's newest source in SUITE.
unpack_source() {
  local suite=$1 package=$2 home="$KATA_CACHE/sources/$1" conf part version
  if [ -d "$home/$package/" ] && [ "${KATA_DEBS_REFRESH:-0}" != 1 ]; then
    readlink -f "$home/$package"
    return
  fi
  command -v dpkg-source >/dev/null || die "no dpkg-source: apt-get install dpkg-dev"
  mkdir -p "$home"
  (
    flock 9
    if [ -d "$home/$package/" ] && [ "${KATA_DEBS_REFRESH:-0}" != 1 ]; then exit 0; fi
    set -e
    conf=$(private_apt "$suite" "$home/.apt")
    sed -i 's/^Types: deb$/Types: deb-src/' "$home/.apt/sources.d/only.sources"
    export APT_CONFIG=$conf
    update_private_apt "$home/.apt" "the source list of $suite"
    say "apt: source of $package from $suite"
    part="$home/.apt/download"
    rm -rf "$part"
    mkdir -p "$part"
    (cd "$part" && quietly "$home/.apt/download.log" apt-get source -q --download-only "$package")
    quietly "$home/.apt/unpack.log" dpkg-source --no-check -x "$part"/*.dsc "$part/tree"
    version=$(awk '$1 == "Version:" { print $2; exit }' "$part"/*.dsc)
    rm -rf "$home/${package}_${version//[:~]/_}"
    mv "$part/tree" "$home/${package}_${version//[:~]/_}"
    rm -rf "$part"
    ln -sfn "${package}_${version//[:~]/_}" "$home/$package"
  ) 9>"$home/.lock"
  [ -d "$home/$package/" ] || return 1
  readlink -f "$home/$package"
}
