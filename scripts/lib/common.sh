# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib/common.sh - what every script shares: places, progress, steps with durations.
# Sourced, never run. Sets KATA_ROOT (the source tree) and KATA_CACHE (what survives a clean build).

KATA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
KATA_CACHE=${KATA_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kata-cpp}
export KATA_ROOT KATA_CACHE

# Seconds since the script began.
kata_elapsed() { printf '%d' "$SECONDS"; }

say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

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
