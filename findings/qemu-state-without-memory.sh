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
version=1:7.2+dfsg-7+deb12u18+b3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

for package in qemu-system-x86 qemu-system-common; do
  (cd "$work" && apt-get -o APT::Sandbox::User=root download -q "$package=$version" >download.log 2>&1) ||
    cannot "apt has no $package $version: $(tail -n 1 "$work/download.log")"
  dpkg-deb -x "$work/$package"_*.deb "$work/root"
done
old=$work/root/usr/bin/qemu-system-x86_64
"$old" --version >/dev/null 2>&1 || cannot "this host lacks libraries of QEMU $version"
new=$("$root/scripts/fetch-qemu" 2>/dev/null) || cannot "QEMU 10 cannot be fetched"

# saved_and_read QEMU MIB: bytes of the state, and how reading it ended.
saved_and_read() {
  rm -f "$work/memory"
  timeout 100 /usr/bin/python3 - "$1" "$2" "$work" <<'PYTHON'
import contextlib, json, os, subprocess, sys
qemu, mib, work = sys.argv[1:]
state = f"{work}/state"

@contextlib.contextmanager
def machine(*more):
    argv = [qemu, "-nodefaults", "-display", "none", "-m", mib, "-machine",
            "q35,memory-backend=m,suppress-vmdesc=on", "-object",
            f"memory-backend-file,mem-path={work}/memory,id=m,size={mib}M,share=on",
            "-L", "/usr/share/qemu", "-L", "/usr/share/seabios", "-qmp", "stdio", *more]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        def ask(command, **arguments):
            process.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                if "error" in answer:
                    sys.exit(f"{command}: {answer}")
                if "return" in answer:
                    return answer["return"]
            sys.exit(f"{command}: the machine has ended")
        ask("qmp_capabilities")
        yield ask
        ask("quit")

with machine() as ask:
    ask("stop")
    ask("xen-save-devices-state", filename=state, live=False)
with machine("-incoming", "defer", "-global", "migration.send-configuration=off") as ask:
    ask("migrate-incoming", uri=f"exec:cat {state}")
    while ask("query-migrate").get("status") not in ("completed", "failed"):
        pass
    print(os.path.getsize(state), ask("query-migrate")["status"])
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
