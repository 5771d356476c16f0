# SPDX-License-Identifier: Apache-2.0
"""kata-guest-kernel with little kernels of the test's own: what it makes, chooses and refuses."""

import gzip
import lzma
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

from support.case import Settings, core

RELEASE = "6.99-test-cloud-amd64"
ELF = b"\x7fELF" + bytes(range(256)) * 40
SIGNATURE = b"signed" * 20 + struct.pack(">8xI", 120) + b"~Module signature appended~\n"


def bzimage(packed, sized=True):
    """A bzImage whose payload is `packed`; behind all but gzip stands the size of what it holds."""
    payload = packed + (struct.pack("<I", len(ELF)) if sized else b"")
    head = bytearray(1024)
    head[0x1f1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20e, 0x100)
    head[0x300:0x300 + 24] = b"6.99-test (me) #1 today\0"
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + b"decompressor.. :" + payload


class Tool(unittest.TestCase):
    def setUp(self):
        # A path with a space.
        self.folder = tempfile.mkdtemp(prefix="kata guest-kernel ")
        self.addCleanup(shutil.rmtree, self.folder)
        self.tool = f"{self.folder}/usr/bin/kata-guest-kernel"
        self.share = f"{self.folder}/usr/share/kata-containers"
        os.makedirs(f"{self.folder}/usr/bin")
        os.makedirs(self.share)
        shutil.copy(f"{Settings.root}/guest-image/kata-guest-kernel", self.tool)
        self.write(f"{self.share}/guest-modules.list", b"need virtio_pci\nboot virtio-net # a comment\n9p\nveth\n")
        self.write(f"{self.share}/kernel.info", b"kind: own\nrelease: 6.1-own\nsource: ours\n")
        self.install_agent(b"one")
        self.source = self.package(ELF)

    def write(self, path, content):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def install_agent(self, words):
        self.agent = b"070701" + words.ljust(94, b"-")
        self.write(f"{self.share}/kata-containers-initrd.img", self.agent)

    def package(self, vmlinuz, built_in="kernel/virtio/virtio_pci.ko\n"):
        """A folder like an unpacked package of this kernel."""
        root = tempfile.mkdtemp(dir=self.folder)
        tree = f"{root}/lib/modules/{RELEASE}"
        self.write(f"{root}/boot/vmlinuz-{RELEASE}", vmlinuz)
        self.write(f"{root}/boot/config-{RELEASE}", b"CONFIG_PVH=y\n")
        self.write(f"{tree}/modules.builtin", built_in.encode())
        self.write(f"{tree}/modules.order", b"")
        self.write(f"{self.folder}/module.c", b"int nothing;\n")
        subprocess.run(["gcc", "-c", "-o", f"{self.folder}/module.o", f"{self.folder}/module.c"], check=True)
        module = self.read(f"{self.folder}/module.o")
        self.write(f"{tree}/kernel/net/virtio_net.ko.xz", lzma.compress(module + SIGNATURE))
        self.write(f"{tree}/kernel/net/veth.ko", module + SIGNATURE)
        self.write(f"{tree}/kernel/net/tun.ko", module)
        self.module = module
        return root

    def run_tool(self, *words, code=0):
        done = subprocess.run([self.tool, *words], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr if code else done.stdout

    def make(self, *more, source=None, code=0):
        self.made = f"{self.folder}/made"
        return self.run_tool("make", "--from", source or self.source, "--agent",
                             f"{self.share}/kata-containers-initrd.img", "--output", self.made, *more,
                             code=code)

    def info(self):
        with open(f"{self.made}/kernel.info") as file:
            return dict(line.rstrip("\n").split(": ", 1) for line in file)

    def modules(self):
        """{name: content} of the archive behind the agent."""
        archive = self.read(f"{self.made}/kata-containers-initrd.img")
        self.assertTrue(archive.startswith(self.agent))
        at, found = len(self.agent), {}
        while True:
            self.assertEqual(archive[at:at + 6], b"070701")
            size, length = (int(archive[at + offset:at + offset + 8], 16) for offset in (54, 94))
            name = archive[at + 110:at + 109 + length].decode()
            at = at + 110 + length + 3 & ~3
            if name == "TRAILER!!!":
                return found
            found[name.removeprefix(f"lib/modules/{RELEASE}/")] = archive[at:at + size]
            at = at + size + 3 & ~3

    @core
    def test_it_makes_a_kernel_an_initrd_and_what_stands_beside_them(self):
        self.make()
        self.assertEqual(self.read(f"{self.made}/vmlinux.container"), ELF)
        modules = self.modules()
        self.assertEqual(modules["virtio_net.ko"], self.module, "unpacked and without its signature")
        self.assertEqual(modules["veth.ko"], self.module)
        self.assertNotIn("tun.ko", modules)
        self.assertEqual(modules["modules.boot"], b"virtio_net\n")
        self.assertIn(b"veth.ko:", modules["modules.dep"])
        info = self.info()
        self.assertEqual((info["kind"], info["release"]), ("distribution", RELEASE))
        self.assertEqual(info["lacks"], "9p emulated-cpu-hotplug overlayfs-links")
        self.assertEqual(sorted(os.listdir(self.made)), ["kata-containers-initrd.img", "kernel.config",
                                                          "kernel.info", "vmlinux.container"])

    def test_kernels_are_unpacked_however_they_are_packed(self):
        zstd = subprocess.run(["zstd", "-c"], input=ELF, capture_output=True, check=True).stdout
        for name, packed, sized in (("gzip", gzip.compress(ELF), False), ("xz", lzma.compress(ELF), True),
                                    ("zstd", zstd, True)):
            with self.subTest(name):
                self.make(source=self.package(bzimage(packed, sized)))
                self.assertEqual(self.read(f"{self.made}/vmlinux.container"), ELF)
                self.assertEqual(self.info()["source"], "6.99-test (me) #1 today")

    def test_what_would_not_change_keeps_its_time(self):
        self.make()
        before = {name: os.stat(f"{self.made}/{name}").st_mtime_ns for name in os.listdir(self.made)}
        self.make()
        self.assertEqual({name: os.stat(f"{self.made}/{name}").st_mtime_ns
                          for name in os.listdir(self.made)}, before)

    def test_another_agent_is_taken_and_the_modules_stay(self):
        self.make()
        before = self.modules()
        self.install_agent(b"two, and of another size".ljust(98))
        self.make()
        self.assertEqual(self.modules(), before)

    def test_more_modules_can_be_asked_for(self):
        self.make("--module", "tun")
        self.assertIn("tun.ko", self.modules())
        self.assertIn("no_such", self.make("--module", "no_such", code=1))

    def test_what_cannot_be_a_guest_s_kernel_is_refused(self):
        for problem, source, words in (
                ("a module without which there is no guest", self.package(ELF, ""), "lacks virtio_pci"),
                ("no kernel", self.package(b"MZ" + bytes(2000)), "neither a bzImage nor an ELF"),
                ("broken", self.package(bzimage(lzma.compress(ELF)[:-40])), "cannot unpack"),
                ("unknown", self.package(bzimage(b"\1\2\3\4" * 9)), "01020304"),
                ("no package", f"{self.share}/kernel.info", "cannot unpack"),
                ("nothing", "/no/such", "no kernel at"), ("empty", self.share, "no boot/vmlinuz")):
            with self.subTest(problem):
                self.assertIn(words, self.make(source=source, code=1))
                self.assertEqual([name for name in os.listdir(self.made)], [])

    def choose(self, script):
        """Runs shell text as root of a host with nothing below /var/lib; $T is the tool."""
        done = subprocess.run(["unshare", "--mount", "sh", "-ec",
                               f"mount -t tmpfs -o size=4m tmpfs /var/lib; C=/var/lib/kata-containers/guest-kernel; {script}"],
                              env={**os.environ, "T": self.tool, "S": self.source, "SHARE": self.share},
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    @core
    def test_update_chooses_refresh_follows_the_agent_and_own_undoes_it(self):
        done = self.choose(
            '"$T" status; "$T" refresh; "$T" update --from "$S"; readlink $C/current; '
            'cp "$SHARE/kata-containers-initrd.img" /var/lib/saved; printf 070701%94s two >"$SHARE/kata-containers-initrd.img"; '
            '"$T" refresh; readlink $C/current; head -c 100 $C/current/kata-containers-initrd.img | tail -c 3; echo; '
            '"$T" status; "$T" own; ls $C; "$T" status')
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "kernel:  ours")
        first, second, agent = lines[3:6]
        self.assertTrue(first.startswith(RELEASE) and second.startswith(RELEASE))
        self.assertNotEqual(first, second)
        self.assertEqual(agent, "two")
        self.assertEqual(lines[7], "kind:    distribution")
        self.assertEqual(lines[-3], "kernel:  ours", "nothing is left of what was chosen")

    def test_a_full_disk_leaves_what_was_chosen(self):
        done = self.choose('"$T" update --from "$S"; readlink $C/current; dd if=/dev/zero of=/var/lib/big 2>/dev/null || true; '
                           '! "$T" update --from "$S" --module tun; readlink $C/current; ls -A $C | wc -l')
        before, after, entries = done.stdout.split()
        self.assertEqual(before, after)
        self.assertEqual(entries, "3", "the lock, the folder and the link to it")
        self.assertIn("No space left", done.stderr)
