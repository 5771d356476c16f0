# SPDX-License-Identifier: Apache-2.0
"""The demonstration's container: starts it, prints host and guest side by side, checks the host."""

import argparse
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from testbed.containerd import Containerd, fetch  # noqa: E402
from testbed.host import HostSnapshot  # noqa: E402
from testbed.runtime import Kata, Runc  # noqa: E402

# One fact per line, so that host and guest answer the same questions in the same words.
QUESTIONS = r"""
echo "kernel release=$(uname -r)"
echo "CPU model=$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ *//')"
echo "entries in /proc=$(ls /proc | wc -l)"
echo "modules loaded=$(cat /proc/modules 2>/dev/null | wc -l)"
echo "modules built in=$(ls -d /sys/module/* | wc -l)"
echo "network interfaces=$(ls /sys/class/net | tr '\n' ' ')"
echo "started=$(cut -d' ' -f1 /proc/uptime) s ago"
dmesg 2>&1 | head -n 3 | sed 's/^/dmesg=/'
"""


def facts(text):
    """{question: answer} and the first lines of dmesg."""
    answers, log = {}, []
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name == "dmesg":
            log.append(value)
        else:
            answers[name] = value.strip() or "-"
    return answers, log


def table(host, guest):
    width = max(map(len, host))
    column = min(max(len(value) for value in host.values()), 44)
    print(f"{'':{width}}  {'host':{column}}  container")
    print(f"{'-' * width}  {'-' * column}  {'-' * column}")
    for name, value in host.items():
        print(f"{name:{width}}  {value[:column]:{column}}  {guest.get(name, '-')[:60]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runtime", default="kata", choices=["kata", "runc"])
    options = parser.parse_args()
    runtime = Runc() if options.runtime == "runc" else Kata(
        f"{ROOT}/build/release/bin", f"{ROOT}/build/guest/vmlinux.container",
        f"{ROOT}/build/guest/kata-containers-initrd.img")
    version, folder = fetch("1.6")
    before = HostSnapshot(ignored=("/tmp/kt-",), cgroup="kt-", allowed=runtime.known_leftovers)
    containerd = Containerd(folder, runtime)
    try:
        containerd.start()
        containerd.import_image()
        command = ["sh", "-c", QUESTIONS]
        shown = " ".join(["ctr", "run", "--rm", "--runtime", runtime.type, "...", "sh"])
        print(f"containerd {version}: {shown}", flush=True)
        begin = time.monotonic()
        done = containerd.run("demo", command, "--rm", timeout=120)
        seconds = time.monotonic() - begin
        if done.code != 0:
            sys.exit(f"the container failed: {done}\n{containerd.log_tail()}")
    finally:
        containerd.remove_all()
        containerd.stop()
        left = before.compare()
        before.purge(containerd.token)
        containerd.destroy()
    host, host_log = facts(subprocess.run(["sh", "-c", QUESTIONS], capture_output=True,
                                          text=True).stdout)
    guest, guest_log = facts(done.out)
    print(f"ran for {seconds:.1f} s\n")
    table(host, guest)
    for title, log in (("host", host_log), ("container", guest_log)):
        print(f"\ndmesg in the {title}:")
        for line in log:
            print(f"  {line[:96]}")
    print()
    if left:
        sys.exit("left on the host:\n  " + "\n  ".join(left))
    print("left on the host: nothing")


if __name__ == "__main__":
    main()
