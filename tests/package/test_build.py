# SPDX-License-Identifier: Apache-2.0
"""Building the tree and the packages: on a system with nothing installed, and twice with the same result."""

import filecmp
import os
import subprocess
import tempfile

import bed


def clone(folder):
    """What is to be tested, with changes that nobody has committed yet, in another place."""
    git = ["git", "-c", f"safe.directory={bed.ROOT}", "-C", bed.ROOT]
    commit = subprocess.check_output([*git, "stash", "create"], text=True).strip() or "HEAD"
    subprocess.run(["git", "-c", f"safe.directory={bed.ROOT}/.git", "clone", "-q", "--no-checkout", bed.ROOT,
                    folder], check=True)
    if commit != "HEAD":
        subprocess.run([*git, "push", "-q", folder, f"{commit}:refs/heads/under-test"], check=True)
        commit = "under-test"
    subprocess.run(["git", "-C", folder, "checkout", "-q", commit], check=True)
    return folder


class Build(bed.PackageCase):
    def test_another_place_and_another_hour_give_the_same_bytes(self):
        with tempfile.TemporaryDirectory(prefix="kt again ", dir="/var/tmp") as folder:
            tree = clone(f"{folder}/a tree")
            first = bed.make_packages(bed.ROOT, f"{folder}/first")
            # Compiled, and not remembered.
            again = bed.make_packages(tree, f"{folder}/second", {"CCACHE_DISABLE": "1"})
            names = sorted(os.listdir(first))
            self.assertEqual(names, sorted(os.listdir(again)))
            self.assertEqual(filecmp.cmpfiles(first, again, names, shallow=False), (names, [], []))

    def test_a_bare_system_shows_the_demo(self):
        """In minutes, packages included, and the second time in seconds."""
        for release in bed.RELEASES:
            with self.subTest(debian=release), tempfile.TemporaryDirectory(prefix="kt-", dir="/var/tmp") as folder:
                tree = clone(f"{folder}/tree")
                host = bed.Host(release, bare=True, binds={"/root/kata-cpp": tree})
                try:
                    host.start()
                    for time in ("first", "second"):
                        shown = host.run("/root/kata-cpp/scripts/demo", timeout=3600)
                        self.assertIn("left on the host: nothing", shown.out + shown.err, shown)
                        print(f"Debian {release}, {time} time: {shown.seconds:.1f} s", flush=True)
                finally:
                    host.destroy()
