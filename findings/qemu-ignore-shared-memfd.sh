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
# Seen       bytes of the state of a machine with 2 MB of memory in use: 7.2 286,422 with both; 10.0 286,961
#            with a file and 2,416,471 with a memfd.
# In kata-cpp  templates map their memory from a file, with every QEMU.
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
head -c 2000000 /dev/urandom >"$work/content"

# state_bytes QEMU BACKEND: how long the state of a machine is whose memory holds the content.
state_bytes() {
  timeout 60 /usr/bin/python3 - "$1" "$2" "$work" <<'PYTHON'
import json, os, subprocess, sys
qemu, backend, work = sys.argv[1:]
state = f"{work}/state"
argv = [qemu, "-S", "-nodefaults", "-display", "none", "-m", "64", "-machine", "q35,memory-backend=m",
        "-object", f"memory-backend-{backend},id=m,size=64M,share=on", "-L", "/usr/share/qemu",
        "-L", "/usr/share/seabios", "-qmp", "stdio",
        "-device", f"loader,file={work}/content,addr=0x1000000,force-raw=on"]
with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                      text=True) as machine:
    def ask(command, **arguments):
        machine.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        machine.stdin.flush()
        for line in machine.stdout:
            answer = json.loads(line)
            if "error" in answer:
                sys.exit(f"{command}: {answer}")
            if "return" in answer:
                return answer["return"]
        sys.exit(f"{command}: the machine has ended")
    ask("qmp_capabilities")
    ask("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
    ask("migrate", uri=f"exec:cat >{state}")
    while ask("query-migrate").get("status") != "completed":
        pass
    ask("quit")
print(os.path.getsize(state))
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
