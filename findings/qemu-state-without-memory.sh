#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# qemu-state-without-memory.sh - a command for Xen that saves every machine's devices, without its memory.
#
# Software   QEMU 7.2 (Debian 12: qemu-system-x86 1:7.2+dfsg-7+deb12u18) and 10.0 (bookworm-backports)
# Guess      xen-save-devices-state works under Xen alone, and what it writes is of use to xenlight alone.
# Behaviour  it works under TCG as well, with memory of any kind and without any capability: it writes the
#            devices and processors and not one page. migrate-incoming reads it in a machine whose memory is
#            there already, when that was begun with -global migration.send-configuration=off.
# Seen       as many bytes with 64 MiB of memory as with 1024 (32,489 or 32,520 of such a q35), "completed"
#            at the other end.
# In kata-cpp  what a snapshot of a running machine can be made with, whose memory is copied on its own.
#
# Needs apt, python3 and what QEMU of Debian 12 needs. Exit status: 0 as described, 1 the behaviour has
# changed, 2 it could not be tried.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=scripts/lib/pinned.sh
. "$root/scripts/lib/pinned.sh"

old=$(pinned_qemu qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 qemu-system-common=1:7.2+dfsg-7+deb12u18+b3) || exit
new=$(pinned_backport qemu-system-x86=1:10.0.2+ds-2+deb13u1~bpo12+1) || exit

# saved_and_read QEMU MIB: bytes of the state, and how reading it ended.
saved_and_read() {
  rm -f "$work/memory"
  PYTHONPATH=$root/scripts/lib timeout 100 /usr/bin/python3 -B - "$1" "$2" "$work" <<'PYTHON'
import os, sys
from qmp import Machine
program, mib, work = sys.argv[1:]
backend, state = f"file,mem-path={work}/memory", f"{work}/state"
with Machine(program, mib, backend) as machine:
    machine.ask("stop")
    machine.ask("xen-save-devices-state", filename=state, live=False)
with Machine(program, mib, backend, "-incoming", "defer", "-global",
             "migration.send-configuration=off") as machine:
    machine.ask("migrate-incoming", uri=f"exec:cat {state}")
    print(os.path.getsize(state), machine.migrated())
PYTHON
}

for qemu in "$old" "$new"; do
  small=$(saved_and_read "$qemu" 64) || cannot "$qemu with 64 MiB: $small"
  large=$(saved_and_read "$qemu" 1024) || cannot "$qemu with 1024 MiB: $large"
  printf '%s: of 64 MiB %s, of 1024 MiB %s\n' "$("$qemu" --version | head -n 1)" "$small" "$large"
  # How far its firmware has come is seen in some bytes.
  more=$((${large% *} - ${small% *}))
  if [ "${more#-}" -ge 4096 ] || [ "${small#* }" != completed ] || [ "${large#* }" != completed ]; then
    printf 'changed: not the same state, or it cannot be read\n' >&2
    exit 1
  fi
done
