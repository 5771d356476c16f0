# SPDX-License-Identifier: Apache-2.0
"""The base of the Docker tests: one private Docker per class, the host compared after each test."""

import re
import unittest

from testbed.docker import IMAGE, SHIM, Docker, fetch
from testbed.host import HostSnapshot
from testbed.process import wait_until

from .bed_case import BedCase
from .case import Settings


class DockerCase(BedCase):
    """self.bed is a running Docker with the image; it ends with the class.

    After each test all containers but those in `kept` are removed, and the host must look as it did
    before the test.
    """

    door = None
    options = ()
    kept = ()
    settings = {}  # of the runtime's configuration, table [runtime]
    shares_files = True

    @classmethod
    def setUpClass(cls):
        cls.runtime = Settings.runtime
        if Settings.series not in cls.series_of_door(Settings.core_only):
            raise unittest.SkipTest(f"not through the {cls.door} on the Docker beside containerd "
                                    f"{Settings.series}")
        if getattr(cls, "only_runtime", cls.runtime.name) != cls.runtime.name:
            raise unittest.SkipTest(f"{cls.only_runtime} only: {cls.only_reason}")
        cls.series, cls.version, bin_dir = fetch(Settings.series)
        cls.bed = Docker(bin_dir, cls.runtime, cls.door, cls.options)
        cls.before_all = cls.snapshot()
        cls.addClassCleanup(cls._finish)
        if cls.runtime.is_vm:
            cls.runtime.be_patient(cls.settings, **cls.runtime.sharing(cls.shares_files))
        cls.bed.start()
        cls.bed.import_image()
        cls.set_up_bed()

    @classmethod
    def series_of_door(cls, core_only):
        """Docker 20.10 has no other runtimes than those of runc's command line. Later ones have that
        door too, but it is not the one to recommend there, and not in the core subset."""
        if cls.door == SHIM:
            return ("1.7", "2.1")
        return ("1.6",) if core_only else ("1.6", "1.7", "2.1")

    @property
    def folder(self):
        """Of the bed: for files that a test leaves there."""
        return self.bed.base

    @classmethod
    def set_up_bed(cls):
        """For subclasses: containers that all tests of the class share; list them in cls.kept."""

    @classmethod
    def snapshot(cls):
        return HostSnapshot(ignored=("/tmp/kt-",), exact=Settings.isolated, cgroup=cls.bed.cgroup,
                            allowed=cls.allowed(), loops=cls.bed.token)

    @classmethod
    def allowed(cls):
        # dockerd keeps the host's network at hand once somebody has asked for it, and 26.1 the root that
        # it exported (findings/docker-export-stays-mounted.sh). Cgroups are the whole machine's, where this
        # project's unit tests may run at the same time.
        exported = r"mount \S+/overlay2/[0-9a-f]{64}/merged \(overlay|" if cls.series == "26.1" else ""
        return re.compile(rf"{cls.runtime.known_leftovers.pattern}|{exported}"
                          r"mount \S+/exec/netns/default \(nsfs|"
                          r"cgroup \S+/kata-(agent-)?test-\d")

    @classmethod
    def _finish(cls):
        try:
            if cls.bed.dockerd.alive():
                cls.bed.remove_all()
                cls.bed.stop()
            # Before the bed's namespaces end, which would end all that is left in them.
            left = [line for line in cls.before_all.compare(cls.bed.own_pids())
                    if not cls.bed.is_own(line)]
        finally:
            cls.before_all.purge(cls.bed.token)
            cls.bed.destroy()
        cls.complain(left)

    def setUp(self):
        super().setUp()
        self.before = self.snapshot()
        self.name = self.bed.new_name()

    def tearDown(self):
        kept = {self.bed.inspect(name, ".Id") for name in self.kept}
        made = [name for name in self.bed.containers() if name not in kept]
        if made:
            self.bed.docker("rm", "--force", "--volumes", *made, timeout=300)
        self.assert_clean()

    def assert_clean(self, seconds=20):
        left = self.before.compare(self.bed.own_pids(), seconds)
        if left:
            self.before.purge(self.bed.token)
            self.fail("the host still has:\n  " + "\n  ".join(left))

    # -- docker ---------------------------------------------------------------------------------

    image = IMAGE

    def docker(self, *arguments, **options):
        return self.bed.docker(*arguments, **options)

    def cli(self, word, *arguments, plain=False, **options):
        """docker(...); the containers of a `plain` run are runc's."""
        more = ["--runtime", "runc"] if plain else []
        return self.docker(word, *more, *arguments, **options)

    def run_arguments(self, *arguments):
        """docker run with a name; options, then the command, both as `docker run` takes them."""
        options, command = split(arguments)
        return ["run", "--name", self.name, *options, IMAGE, *command]

    def run_in(self, *arguments, **options):
        """docker run --rm [OPTION...] [-- COMMAND...] to its end."""
        return self.docker(*self.run_arguments("--rm", *arguments), **options)

    def run_detached(self, *arguments):
        return self.docker(*self.run_arguments("--detach", *arguments), check=True)

    def shell(self, *lines):
        return ["--", "sh", "-c", "\n".join(lines)]

    def inspect(self, template, name=None):
        return self.bed.inspect(name or self.name, template)

    def logs(self, name=None):
        done = self.docker("logs", name or self.name, check=True)
        return done.out

    def wait_logs(self, text, seconds=60, name=None):
        return wait_until(lambda: text in self.logs(name), seconds,
                          lambda: f"{text!r} in {self.logs(name)!r}")

    def wait_state(self, template, value, seconds=60, name=None):
        wait_until(lambda: self.inspect(template, name) == value, seconds,
                   lambda: f"{template} {value!r} in {self.inspect('.State', name)}")

    def assert_code(self, done, code):
        self.assertEqual(done.code, code, f"{done}\ndockerd: {self.bed.dockerd.log_tail(1500)}")

    def assert_output(self, done, text):
        self.assert_code(done, 0)
        self.assertEqual(done.out.replace("\r", ""), text, done)


def split(arguments):
    """(what stands before "--", what behind it)."""
    arguments = list(arguments)
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1:]
