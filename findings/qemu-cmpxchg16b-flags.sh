#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# qemu-cmpxchg16b-flags.sh - an emulated instruction that changes flags which it must leave.
#
# Software   QEMU 7.2 (Debian 12: 7.2+dfsg-7+deb12u18), TCG, x86-64 guests; not QEMU 10.0
# Guess      cmpxchg16b changes the zero flag and no other (Intel SDM, "CMPXCHG8B/CMPXCHG16B").
# Behaviour  the others are computed as if the instruction before had been another one: carry is lost here;
#            in a system's guest whole operands show up as flags ("pushfq" gave 5678abcf). Compilers test the
#            zero flag at once, so programs notice nothing. But a timer interrupt right behind the instruction
#            saves these flags and "iret" restores them: interrupts off, traps on, nested tasks.
# Seen       Debian's linux-image-6.12.95+deb12-cloud-amd64, whose memory allocator uses the instruction, died
#            in 4 of 8 boots on a busy host (list_add corruption, double faults, EFLAGS: 049be74a); in 0 of 58
#            with clearcpuid=cx16, which keeps the kernel, and nobody else, from using it.
# In kata-cpp  src/host/hypervisor/qemu/argv.cc gives emulated guests clearcpuid=cx16.
#
# Needs apt and gcc. Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

package="qemu-user-static=1:7.2+dfsg-7+deb12u18+b3"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cannot() {
  printf 'not tried: %s\n' "$*" >&2
  exit 2
}

command -v gcc >/dev/null || cannot "gcc is missing"
grep -qw cx16 /proc/cpuinfo || cannot "this processor has no cmpxchg16b to compare with"
(cd "$work" && apt-get -o APT::Sandbox::User=root download -q "$package" >download.log 2>&1) ||
  cannot "apt has no $package: $(tail -n 1 "$work/download.log")"
dpkg-deb -x "$work"/*.deb "$work/root"
qemu=$work/root/usr/bin/qemu-x86_64-static
[ -x "$qemu" ] || cannot "$package has no qemu-x86_64-static"

# 0 - 0x12345678abcd sets carry, sign and more; the comparison that follows finds what is there, so it sets
# the zero flag.
cat >"$work/flags.c" <<'SOURCE'
#include <stdint.h>
#include <stdio.h>
static struct { uint64_t low, high; } __attribute__((aligned(16))) cell = {1, 2};
int main(void) {
  uint64_t flags, first = 0;
  __asm__ volatile("sub %2, %1\n\tlock cmpxchg16b %3\n\tpushfq\n\tpopq %0"
                   : "=&r"(flags), "+r"(first)
                   : "r"(UINT64_C(0x12345678abcd)), "m"(cell), "a"(UINT64_C(1)), "d"(UINT64_C(2)),
                     "b"(UINT64_C(1)), "c"(UINT64_C(2))
                   : "memory", "cc");
  printf("%lx\n", (unsigned long)flags);
  return 0;
}
SOURCE
gcc -O1 -mcx16 -static -o "$work/flags" "$work/flags.c" || cannot "the program does not compile"

real=$("$work/flags")
emulated=$("$qemu" -cpu max "$work/flags")
printf 'flags behind cmpxchg16b: %s on this processor, %s under %s\n' "$real" "$emulated" \
  "$("$qemu" --version | head -n 1)"
if [ "$real" = "$emulated" ]; then
  printf 'changed: they are the same\n' >&2
  exit 1
fi
