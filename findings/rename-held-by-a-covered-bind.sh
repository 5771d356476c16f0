#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# rename-held-by-a-covered-bind.sh - a directory that cannot be renamed though nothing is mounted on it.
#
# Software   Linux 6.12 and 6.18
# Guess      rename and rmdir say EBUSY where the directory is a mount point on the path that is used; another
#            bind mount of its parent shows it as a plain directory, which can be renamed there.
# Behaviour  a mount on the directory through any bind mount of its parent in the same mount namespace holds
#            it everywhere in that namespace, even where the mount is covered by another one and no path leads
#            to it. Since it is no mount point on the path that is used, files still move between it and its
#            neighbours by rename (no EXDEV). Other mount namespaces rename and remove it as before.
# In kata-cpp  nothing yet: it keeps an overlay's upper and work directories in place while a guest may write
#            to both.
#
# Needs root. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || {
  printf 'not tried: needs root\n' >&2
  exit 2
}
if [ "${1:-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/parent/{upper,work} "$work"/used "$work"/aside/bind
  touch "$work/parent/work/file"
  unshare --mount --propagation private "$0" inside "$work"
  mv "$work/parent/upper" "$work/parent/elsewhere"
  printf 'outside that namespace: renamed\n'
  exit
fi

cd "$2"
mount --bind parent used
mount --bind parent aside/bind
mount -t tmpfs held aside/bind/upper
mount -t tmpfs held aside/bind/work
mount -t tmpfs cover aside
failed=0
[ -z "$(ls -A aside)" ] || failed=1
uname -sr
rename=$(LC_ALL=C mv -T used/upper used/elsewhere 2>&1) && failed=1
remove=$(LC_ALL=C rmdir used/upper 2>&1) && failed=1
printf '%s\n%s\n' "$rename" "$remove"
[[ $rename == *"resource busy" && $remove == *"resource busy" ]] || failed=1
# rename(2) alone: mv would copy.
python3 -B -c 'import os; os.rename("used/work/file", "used/upper/file")' || failed=1
[ -e parent/upper/file ] && printf 'a file moved between the two by rename\n'
[ "$failed" -eq 0 ] || printf 'changed\n' >&2
exit "$failed"
