# SPDX-License-Identifier: Apache-2.0
"""What careless callers ask for: each a clear error, and no machine is booted to find out."""

import json
import os
import time

from support.case import core, only
from support.oci import OciCase
from testbed import image

SECONDS = 2


def process(**fields):
    return lambda spec: spec["process"].update(fields)


def linux(**fields):
    return lambda spec: spec["linux"].update(fields)


def resources(**fields):
    return lambda spec: spec["linux"].setdefault("resources", {}).update(fields)


def mount(destination, source="tmpfs", kind="tmpfs", options=()):
    return lambda spec: spec["mounts"].append(
        {"destination": destination, "source": source, "type": kind, "options": list(options)})


def without(field):
    return lambda spec: spec.pop(field)


SPECIFICATIONS = {
    "ociVersion: is missing": without("ociVersion"),
    'ociVersion: "7.0.0" is not supported': lambda spec: spec.update(ociVersion="7.0.0"),
    "process: is missing": without("process"),
    "root.path: is missing": without("root"),
    "process.args: is empty": process(args=[]),
    'process.cwd: "tmp" is not an absolute path': process(cwd="tmp"),
    "leads through an open file": process(cwd="/proc/self/fd/8/../../.."),
    "process.env[0]": process(env=["NOTHING"]),
    "RLIMIT_FUN": process(rlimits=[{"type": "RLIMIT_FUN", "soft": 1, "hard": 1}]),
    "oomScoreAdj": process(oomScoreAdj=-5000),
    'source "/no/such/source": no such file or directory': mount(
        "/x", "/no/such/source", "bind", ["rbind"]),
    '"/dev/no-such-disk": no such block device': linux(
        devices=[{"path": "/dev/no-such-disk", "type": "b", "major": 8, "minor": 200}]),
    "linux.devices[0].type": linux(devices=[{"path": "/dev/x", "type": "z"}]),
    "memory.limit": resources(memory={"limit": -7}),
    "memory.swap": resources(memory={"limit": 1 << 30, "swap": 1 << 20}),
    "cpu.quota": resources(cpu={"quota": 3}),
    "cpu.period": resources(cpu={"period": 99_000_000}),
    "cpu.cpus": resources(cpu={"cpus": "3-1"}),
    "pids.limit": resources(pids={"limit": -3}),
    "linux.seccomp": linux(seccomp={"defaultAction": "SCMP_ACT_NOTHING"}),
    "SCMP_ACT_NOTIFY": linux(seccomp={"defaultAction": "SCMP_ACT_NOTIFY"}),
    "linux.maskedPaths[0]": linux(maskedPaths=["proc/kcore"]),
    "is there twice": lambda spec: spec["linux"]["namespaces"].extend([{"type": "uts"}] * 2),
    "linux.rootfsPropagation": linux(rootfsPropagation="sideways"),
    "cannot be joined": lambda spec: spec["linux"]["namespaces"].append(
        {"type": "user", "path": "/proc/1/ns/user"}),
    "hooks.prestart[0].path": lambda spec: spec.update(hooks={"prestart": [{"path": "hook"}]}),
    'exec: "no-such-program": executable file not found in $PATH': process(args=["no-such-program"]),
    'exec: "/no/program": stat /no/program: no such file or directory': process(
        args=["/no/program"]),
}


@only("kata", "runc sees much of this later and says it differently")
class BadInput(OciCase):
    """The VMM of these tests is a program that tells that it was started, and fails."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.booted = f"{cls.base}/booted"
        vmm = f"{cls.base}/vmm"
        with open(vmm, "w") as file:
            file.write(f"#!/bin/sh\necho \"$@\" >> {cls.booted}\nexit 1\n")
        os.chmod(vmm, 0o755)
        cls.runtime.write_config(cls.runtime.config, path=vmm)
        # A service would start it again and again.
        cls.runtime.release(cls.base)

    def refuse(self, words, bundle):
        begin = time.monotonic()
        done = self.cli("run", "--bundle", bundle, self.name)
        self.assertNotEqual(done.code, 0)
        self.assertIn(words, done.err)
        self.assertFalse(os.path.exists(self.booted), "a machine was started")
        self.assertEqual(self.ids(), [])
        return time.monotonic() - begin

    @core
    def test_specifications_that_make_no_sense(self):
        seconds = []
        for words, change in SPECIFICATIONS.items():
            with self.subTest(words):
                # In the way that the message appears in a line of the log.
                seconds.append(self.refuse(json.dumps(words)[1:-1],
                                           self.bundle("true", change=change)))
        # Of all, so that one slow moment of the host is no failure.
        self.assertLess(sorted(seconds)[len(seconds) // 2], SECONDS)

    def test_bundles_that_are_missing_or_broken(self):
        self.refuse("o such file or directory", f"{self.base}/no-such-bundle")
        os.mkdir(f"{self.base}/empty")
        self.refuse("config.json", f"{self.base}/empty")
        for text in ("", '{"ociVersion": ', "[]", '{"ociVersion": 1}', "\0" * 100, "[" * 100000):
            bundle = self.bundle("true")
            with open(f"{bundle}/config.json", "w") as file:
                file.write(text)
            self.refuse("level=error", bundle)

    @core
    def test_root_file_systems_that_are_missing_links_or_hostile(self):
        def root(path):
            return self.bundle("true", change=lambda spec: spec["root"].update(path=path))

        def tree(spoil):
            path = image.write_tree(f"{self.base}/tree-{next(self._ids)}")
            spoil(path)
            return path

        def link(name, target):
            def spoil(path):
                os.rmdir(f"{path}/{name}")
                os.symlink(target, f"{path}/{name}")
            return spoil

        self.refuse("no such file or directory".capitalize()[1:], root("no-such-folder"))
        self.refuse("is no directory", root("/etc/hostname"))
        os.symlink(self.rootfs, f"{self.base}/link")
        self.refuse("symlink", root(f"{self.base}/link"))
        os.mkdir(f"{self.base}/nothing")
        self.refuse("executable file not found", root(f"{self.base}/nothing"))
        for place, target in (("proc", "/tmp"), ("dev", "tmp"), ("sys", "sys")):
            self.refuse("ymbolic link", root(tree(link(place, target))))

    def test_mounts_that_lead_round_in_circles(self):
        path = image.write_tree(f"{self.base}/circle")
        os.symlink("two", f"{path}/one")
        os.symlink("one", f"{path}/two")

        def change(spec):
            spec["root"]["path"] = path
            mount("/one/data")(spec)
        self.refuse("Too many levels of symbolic links", self.bundle("true", change=change))
