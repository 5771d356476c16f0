#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# qemu-saving-fills-shared-memory.sh - a machine that is saved has all of its shared memory allocated by that.
#
# Software   QEMU 7.2 (Debian 12: qemu-system-x86 1:7.2+dfsg-7+deb12u18) and 10.0 (bookworm-backports)
# Guess      saving reads memory; what a guest of 64 MiB has never touched costs nothing before and nothing after.
# Behaviour  migrate reads every page. Of memory with share=on in a file of tmpfs (a memfd is one, too) each page
#            that is read for the first time is allocated: the machine that goes on is as large as its memory
#            may become. In a file of another file system it is not, and not with x-ignore-shared.
# Seen       MiB of a machine's memory file before and after: tmpfs 2 and 64, another file system 2 and 2,
#            tmpfs with x-ignore-shared 2 and 2; the same in both versions.
# In kata-cpp  memory is copied by the shim, which asks for holes first (src/host/factory/memory_image.cc).
#
# Needs apt, python3, /dev/shm and what QEMU of Debian 12 needs. Exit status: 0 as described, 1 the behaviour has
# changed, 2 it could not be tried.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
memory=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$work" "$memory"' EXIT
# shellcheck source=scripts/lib/pinned.sh
. "$root/scripts/lib/pinned.sh"

[ "$(stat -f -c %T "$memory")" = tmpfs ] || cannot "/dev/shm is no tmpfs"
[ "$(stat -f -c %T "$work")" != tmpfs ] || cannot "temporary folders are on tmpfs"
# shellcheck disable=SC2034  # by its name below
old=$(pinned_qemu qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 qemu-system-common=1:7.2+dfsg-7+deb12u18+b3) || exit
# shellcheck disable=SC2034
new=$(pinned_backport qemu-system-x86=1:10.0.2+ds-2+deb13u1~bpo12+1) || exit
head -c 2000000 /dev/urandom >"$work/content"

# allocated QEMU FOLDER IGNORE: MiB of the memory file in FOLDER before and after the machine is saved.
allocated() {
  PYTHONPATH=$root/scripts/lib timeout 60 /usr/bin/python3 -B - "$1" "$2/memory" "$3" "$work" <<'PYTHON'
import os, sys
from qmp import Machine
program, memory, ignore, work = sys.argv[1:]
mib = lambda: round(os.stat(memory).st_blocks / 2048)
with Machine(program, 64, f"file,mem-path={memory}", "-S", "-device",
             f"loader,file={work}/content,addr=0x1000000,force-raw=on") as machine:
    machine.ask("migrate-set-capabilities",
                capabilities=[{"capability": "x-ignore-shared", "state": ignore == "ignore"}])
    before = mib()
    machine.ask("migrate", uri="exec:cat >/dev/null")
    machine.migrated() == "completed" or sys.exit("the migration has failed")
    print(before, mib())
os.unlink(memory)
PYTHON
}

said=
for name in old new; do
  for what in "$memory read" "$work read" "$memory ignore"; do
    read -r folder how <<<"$what"
    line=$(allocated "${!name}" "$folder" "$how") || cannot "$name, $what"
    said+="$line, "
    printf '%s, %s, %s: %s MiB\n' "$("${!name}" --version | head -n 1)" "$(stat -f -c %T "$folder")" "$how" "$line"
  done
done
few='[1-4]'
[[ $said =~ ^($few\ 6[0-9],\ $few\ $few,\ $few\ $few,\ ){2}$ ]] || {
  printf 'changed: other pages are allocated\n' >&2
  exit 1
}
