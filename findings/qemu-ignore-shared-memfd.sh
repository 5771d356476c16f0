#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# qemu-ignore-shared-memfd.sh - which shared memory a saved machine's state is without.
#
# Software   QEMU 7.2 (Debian 12: qemu-system-x86 1:7.2+dfsg-7+deb12u18) and 10.0 (bookworm-backports)
# Guess      with the capability x-ignore-shared, memory of a backend with share=on stays out of the state,
#            whatever the backend is: the other side has it already.
# Behaviour  so it is in 7.2. In 10.0 it is so for memory-backend-file alone: of a memory-backend-memfd every
#            page that is in use is written, and nothing says so.
# Seen       bytes of the state of a machine with 2 MB of memory in use: 7.2 242,897 with both; 10.0 242,903
#            with a file and 2,392,870 with a memfd.
# In kata-cpp  templates map their memory from a file, with every QEMU.
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
head -c 2000000 /dev/urandom >"$work/content"

# state_bytes QEMU BACKEND: how long the state of a machine is whose memory holds the content.
state_bytes() {
  PYTHONPATH=$root/scripts/lib timeout 60 /usr/bin/python3 -B - "$1" "$2" "$work" <<'PYTHON'
import os, sys
from qmp import Machine
program, backend, work = sys.argv[1:]
with Machine(program, 64, backend, "-S", "-device",
             f"loader,file={work}/content,addr=0x1000000,force-raw=on") as machine:
    machine.ask("migrate-set-capabilities",
                capabilities=[{"capability": "x-ignore-shared", "state": True}])
    machine.ask("migrate", uri=f"exec:cat >{work}/state")
    machine.migrated() == "completed" or sys.exit("the migration has failed")
print(os.path.getsize(f"{work}/state"))
PYTHON
}

declare -A bytes
for name in old new; do
  for backend in memfd "file,mem-path=$work/memory"; do
    bytes[$name-${backend%%,*}]=$(state_bytes "${!name}" "$backend") || cannot "$name, $backend"
  done
  printf '%s: state with a memfd %s bytes, with a file %s\n' "$("${!name}" --version | head -n 1)" \
    "${bytes[$name-memfd]}" "${bytes[$name-file]}"
done
few=1000000
if [ "${bytes[old-memfd]}" -ge $few ] || [ "${bytes[old-file]}" -ge $few ] ||
  [ "${bytes[new-file]}" -ge $few ] || [ "${bytes[new-memfd]}" -lt $few ]; then
  printf 'changed: QEMU 10 no longer writes a memfd, or something else is written\n' >&2
  exit 1
fi
