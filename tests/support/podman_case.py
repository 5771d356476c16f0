# SPDX-License-Identifier: Apache-2.0
"""The base of the Podman tests: one private Podman per class, the host compared at its end."""

import os
import secrets
import unittest

from testbed import isolation
from testbed.leftovers import new_token

from . import podman
from .bed_case import BedCase
from .case import Settings, snapshot
from .oci import program

IMAGE = "localhost/kata/busybox:e2e"


class PodmanCase(BedCase):
    """self.podman(...) runs a command; containers are removed after each test but `kept` ones."""

    kept = ()
    settings = {}  # of the runtime's configuration, table [runtime]
    shares_files = True

    @classmethod
    def setUpClass(cls):
        if Settings.series != "1.6":
            raise unittest.SkipTest("containerd has no part in it: once is enough")
        cls.runtime = Settings.runtime
        packages = podman.fetch()
        cls.before_all = snapshot()
        cls.token = new_token()
        cls.base = f"/tmp/kt-{cls.token}"
        os.mkdir(cls.base, 0o711)
        cls.addClassCleanup(cls._finish)
        cls.enterClassContext(isolation.own_namespaces(cls.runtime.files()))
        files = {}
        if cls.runtime.is_vm:
            cls.runtime.prepare(cls.base)
            cls.runtime.be_patient(cls.settings, **cls.runtime.sharing(cls.shares_files))
            with open(cls.runtime.config) as file:
                files["kata-containers/configuration.toml"] = file.read()
        cls.engine = podman.Podman(f"{cls.base}/podman", packages, program(), files)
        cls.addClassCleanup(cls.engine.clean)
        cls.engine.load(IMAGE)
        cls.set_up_bed()

    @property
    def folder(self):
        """Of the bed: for files that a test leaves there."""
        return self.base

    @classmethod
    def set_up_bed(cls):
        """For subclasses: containers that all tests of the class share."""

    @classmethod
    def _finish(cls):
        cls.runtime.release(cls.base)
        cls.end_folder()

    def setUp(self):
        super().setUp()
        self.name = f"c{secrets.token_hex(3)}"

    def tearDown(self):
        self.podman("pod", "rm", "--all", "--force", "-t", "0")
        for name in self.out("ps", "--all", "--format", "{{.Names}}").split():
            if name not in self.kept:
                self.podman("rm", "--force", "-t", "0", name)

    @classmethod
    def podman(cls, *words, **options):
        return cls.engine(*words, **options)

    image = IMAGE

    @classmethod
    def cli(cls, *words, plain=False, check=False, **options):
        """podman(...); the containers of a `plain` run are runc's."""
        done = cls.engine(*(["--runtime", "runc"] if plain else []), *words, **options)
        if check and done.code != 0:
            raise AssertionError(f"expected success: {done!r}")
        return done

    @classmethod
    def out(cls, *words, code=0, **options):
        """The output of a command that must end with `code`."""
        done = cls.engine(*words, **options)
        if done.code != code:
            raise AssertionError(f"expected {code}: {done!r}")
        return done.out

    def run_once(self, *words, options=(), **rest):
        return self.podman("run", "--rm", "--network", "none", *options, IMAGE, *words, **rest)

    def start(self, *words, options=()):
        """Starts a container of this test's name in the background."""
        self.out("run", "--detach", "--network", "none", "--name", self.name, *options, IMAGE, *words)

    def inspect(self, template, name=None):
        return self.out("inspect", "--format", template, name or self.name).strip()
