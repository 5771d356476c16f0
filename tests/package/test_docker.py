# SPDX-License-Identifier: Apache-2.0
"""The first three commands of somebody who has Docker and systemd: install, set up, run."""

import json
import os

import bed
from support.chroot import differences
from testbed.process import wait_until


class FirstHour(bed.PackageCase):
    def test_docker_runs_warm_machines_after_two_commands_and_runc_again_after_removal(self):
        ours = os.uname().release + "\n"
        for host in self.each_release(systemd=True):
            def kernel():
                return host.docker("run", "--rm", "busybox", "uname", "-r").out
            wait_until(lambda: host.docker("version", check=False).code == 0, 60, "dockerd")
            host.import_busybox()
            self.assertEqual(kernel(), ours)
            host.satisfy_dependencies(bed.packages_of(bed.DEBS))
            host.write(bed.SETTINGS)
            before = host.look()

            host.install(bed.packages_of(bed.DEBS))
            wait_until(lambda: warm(host).get("ready") == 2, 240, lambda: f"two warm machines: {warm(host)}")
            done = host.run("kata-runtime", "setup", "docker", "--default", "--image", "busybox",
                            timeout=600, network=True)
            self.assertIn("--undo", done.out)
            self.assertNotEqual(kernel(), ours)
            self.assertGreater(warm(host).get("given", 0), 0)

            # A Docker whose default is gone could start nothing any more.
            host.apt("purge", "kata-cpp*")
            self.assertEqual(kernel(), ours)
            self.assertEqual(differences(before, host.look()), [])


def warm(host):
    status = host.run("kata-runtime", "factory", "status", "--json", check=False)
    return json.loads(status.out)["warm"] if status.code == 0 else {}
