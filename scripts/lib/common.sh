# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/common.sh - what every script shares: places, progress, steps with durations.
# Sourced, never run. Sets KATA_ROOT (the source tree) and KATA_CACHE (what survives a clean build),
# both without links, and makes scripts independent of who calls them from where.

say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# With CDPATH, cd prints where it went; other languages translate what apt says; with a umask of 077
# nobody but the owner could enter what is built, installed and cached here.
unset CDPATH
export LC_ALL=C.UTF-8
umask 022

if [ -z "${HOME:-}" ]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
  export HOME=${HOME:-/}
fi

KATA_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
KATA_CACHE=$(realpath -m -- "${KATA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kata-cpp}")
export KATA_ROOT KATA_CACHE

# check_place WHAT DIR REMEDY: refuses a folder in which building and testing cannot work.
check_place() {
  local what=$1 dir=$2 remedy=$3 options
  # In PATH, and in the lists, rules and quotes of CMake, Ninja and apt these mean something else
  # than themselves.
  case $dir in
    *[[:cntrl:]\":\;\#\|\<\>\\]*)
      die "$what $(printf '%q' "$dir") has a character that CMake or PATH take for their own" \
        "(one of : ; # | < > \" \\ or a control character): $remedy"
      ;;
    / | /tmp | /var/tmp | /run | /dev/shm)
      die "$what is $dir itself, which tests replace by one of their own: $remedy" ;;
  esac
  while [ ! -d "$dir" ]; do dir=$(dirname -- "$dir"); done
  options=$(findmnt -n -o OPTIONS --target "$dir" 2>/dev/null) || return 0
  case ,$options, in
    *,noexec,*) die "$what $dir is mounted noexec, and programs in it have to run: $remedy" ;;
  esac
}

# Once, not in each of the scripts that scripts call.
if [ "${KATA_PLACES_CHECKED:-}" != "$KATA_ROOT:$KATA_CACHE" ]; then
  check_place "the source tree" "$KATA_ROOT" "move it to another folder"
  check_place "the cache folder" "$KATA_CACHE" "set KATA_CACHE to another one"
  export KATA_PLACES_CHECKED=$KATA_ROOT:$KATA_CACHE
fi

require_root() {
  [ "$(id -u)" -eq 0 ] || die "needs root: run it with sudo"
}

# quietly LOG COMMAND...: runs COMMAND with its output in LOG; on failure shows the log's end.
quietly() {
  local log=$1
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    printf '%s: "%s" failed; the whole log is %s\n' "${0##*/}" "$*" "$log" >&2
    return 1
  fi
}
