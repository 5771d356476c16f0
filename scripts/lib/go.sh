# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/go.sh - a Go that is new enough. Sourced after common.sh and debs.sh.

# find_go VERSION [BELOW]: prints the path of a go of at least VERSION and before BELOW: the machine's
# own, or that of bookworm-backports (1.23), unpacked into the cache.
find_go() {
  local needs=$1 below=${2:-9999} go have
  if go=$(command -v go) && have=$("$go" env GOVERSION 2>/dev/null) &&
    printf '%s\n' "$needs" "${have#go}" "$below" | sort --version-sort --check=quiet; then
    printf '%s' "$go"
    return
  fi
  # Its two packages belong into one tree.
  local tree="$KATA_CACHE/go-1.23" package folder
  if [ ! -e "$tree" ]; then
    rm -rf "$tree.part"
    mkdir -p "$tree.part"
    for package in golang-1.23-go golang-1.23-src; do
      folder=$(unpack_deb bookworm-backports "$package")
      cp -a "$folder/usr" "$tree.part/"
    done
    mv "$tree.part" "$tree"
  fi
  printf '%s' "$tree/usr/lib/go-1.23/bin/go"
}
