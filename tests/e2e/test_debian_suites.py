# SPDX-License-Identifier: Apache-2.0
"""Debian's own tests of Python and Perl in one root file system, under runc and in a sandbox: what a
test says must be the same.

The root is Docker's default one, an overlay, and the tests write to it. docs/layers.md has the table
that these tests print.
"""

import collections
import os
import re
import tarfile
import xml.etree.ElementTree as ElementTree

from support import chroot
from support.case import only
from support.docker_case import DockerCase
from support.layers import EngineWithLayers
from testbed import debs
from testbed.docker import SHIM

DEBIAN = "kata/debian-suites"
PACKAGES = ("python3", "libpython3.11-testsuite", "perl", "procps")
SECONDS = 900

# Perl's tests of files, without those of its internals. They want the modules in ../lib.
PERL = ("io/argv io/closepid io/crlf io/data io/defout io/dup io/eintr io/errno io/fs io/inplace "
        "io/layers io/nargv io/open io/openpid io/perlio io/perlio_open io/pipe io/print io/pvbm io/read "
        "io/say io/sem io/shm io/socket io/socketpair io/tell io/utf8 "
        "op/chdir op/chroot op/filetest op/filetest_t op/glob op/mkdir op/readline op/stat op/sysio "
        "op/getpid op/fork op/die_unwind op/alarm op/exec op/kill0 op/umask").split()

# {test: why it fails in a sandbox}.
DIFFERS = {"test.test_os.TestScandir.test_attributes":
           "an overlay over several file systems numbers directories in stat() otherwise than in readdir()"}

# Those whose result hangs on how exact the guest's clock is: the host's says when a file was changed.
BY_CLOCK = {"test.test_os.UtimeTests.test_utime_current", "test.test_os.UtimeTests.test_utime_current_old",
            *(f"op/stat {number}" for number in range(84, 89))}

Result = collections.namedtuple("Result", "passed failed skipped")

# {test: its last error, in the words of its program}.
WORDS = {}


def python_results(text):
    """{test: result} of regrtest's report in JUnit's form."""
    results = {}
    for case in ElementTree.fromstring(text[text.index("<testsuites"):]).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        results[case.get("name")] = min(kinds) if kinds else "ok"
        WORDS[case.get("name")] = " ".join(child.text.strip().splitlines()[-1] for child in case
                                           if child.text and child.text.strip() and child.tag in kinds)
    return results


def perl_results(text):
    """{test: result} of TAP, each program's lines behind one that begins with #FILE."""
    results, file = {}, ""
    for line in text.splitlines():
        if line.startswith("#FILE "):
            file = line.split()[1]
        elif line.startswith("#EXIT "):
            results[f"{file} exit"] = line.split()[1]
        elif match := re.match(r"(not )?ok (\d+)(.*# (?:skip|TODO))?", line, re.IGNORECASE):
            results[f"{file} {match[2]}"] = "skipped" if match[3] else "failure" if match[1] else "ok"
    return results


def counts(results):
    words = collections.Counter("ok" if word in ("ok", "0") else "skipped" if word == "skipped" else "failed"
                                for word in results.values())
    return Result(words["ok"], words["failed"], words["skipped"])


@only("kata", "it is compared with runc")
class DebianSuites(EngineWithLayers, DockerCase):
    door = SHIM
    image = DEBIAN

    @classmethod
    def set_up_bed(cls):
        path = f"{cls.bed.base}/debian.tar"
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(chroot.base("12", PACKAGES), arcname=".")
            tar.add(f"{debs.unpack_source('perl')}/t", arcname="./perl/t")
        cls.bed.docker("import", path, DEBIAN, check=True)
        os.unlink(path)

    def both(self, script):
        """What the script prints under runc and in a sandbox, whose root is of layers."""
        self.make_images()
        said = []
        for name in ("plain", "layers"):
            self.cli("run", "--detach", "--name", name, "--network", "none", DEBIAN, "sleep", "infinity",
                     plain=name == "plain", check=True)
            said.append(self.cli("exec", name, "sh", "-c", script, timeout=SECONDS, check=True).out)
        self.assert_layers("layers")
        return said

    def compare(self, what, before, after):
        print(f"     {what}: runc {counts(before)}, sandbox {counts(after)}", flush=True)
        self.assertGreater(counts(before).passed, 20, before)
        differences = {name: (before.get(name), after.get(name), WORDS.get(name, ""))
                       for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        self.assertEqual(sorted(differences.keys() - BY_CLOCK), sorted(name for name in DIFFERS if name in before),
                         "\n".join(map(str, sorted(differences.items()))))

    def python(self, *modules):
        self.compare(" ".join(modules), *map(python_results, self.both(
            f"python3 -m test --junit-xml /tmp/report {' '.join(modules)} >/tmp/log 2>&1; "
            "[ -s /tmp/report ] && cat /tmp/report || { tail -50 /tmp/log; exit 1; }")))

    def test_python_works_with_files(self):
        self.python("test_os", "test_posix", "test_shutil", "test_tempfile")

    def test_python_maps_locks_and_archives_files(self):
        self.python("test_mmap", "test_fcntl", "test_fileio", "test_glob", "test_pathlib", "test_stat",
                    "test_mailbox", "test_zipfile", "test_sqlite3", "test_dbm")

    def test_perl_works_with_files(self):
        script = """\
mkdir /perl/lib
for folder in /usr/lib/x86_64-linux-gnu/perl-base /usr/lib/x86_64-linux-gnu/perl/5.* /usr/share/perl/5.*; do
  cp -rsn "$folder/." /perl/lib/
done
cd /perl/t
# Whether it believes to be in a container, it finds out by the host's cgroups.
export PERL_SKIP_TTY_TEST=1
for file in %s; do
  echo "#FILE $file"
  timeout 200 perl -I../lib "$file.t" 2>/dev/null
  echo "#EXIT $?"
done""" % " ".join(PERL)
        self.compare("perl", *map(perl_results, self.both(script)))
