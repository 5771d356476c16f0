# SPDX-License-Identifier: Apache-2.0
"""Root file systems with mapped ids: containers with users of their own, whose image nobody copies or changes."""

import os

from support.case import ContainerdCase, Settings, core, only
from testbed.process import wait_until

FIRST = 100000
USERS = [word for kind in ("uid", "gid") for word in (f"--{kind}map", f"0:{FIRST}:65536")]
SCRIPT = ("id -u; cat /proc/self/uid_map; stat -c '%n %u %g' / /bin /etc/group; echo more >> /etc/group; "
          "mkdir /made; echo new > /made/new; chown 5:6 /made/new; stat -c '%n %u %g %a' /made/new /etc/group; "
          "cat /made/new; rm /etc/passwd; ls /etc/passwd 2>&1; echo done > /done; exec sleep 1000")


@only("kata", "runc is what it is compared with")
class MappedRoot(ContainerdCase):
    def setUp(self):
        if Settings.series in ("1.6", "1.7"):
            self.skipTest(f"the snapshotter overlayfs of containerd {Settings.series} maps no ids")
        super().setUp()

    def mounts(self, name):
        """{option: value} of the container's overlay."""
        words = self.containerd.ctr("snapshot", "mounts", "/mnt", name, check=True).out.replace(",", " ").split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def written(self, name, runtime):
        """What the script says in a container with users of its own, and whose its files are on the host."""
        log = f"{self.containerd.base}/{name}.log"
        self.containerd.ctr("run", "-d", "--runtime", runtime, *USERS, "--remap-labels", "--log-uri", f"file://{log}",
                            self.image, name, "sh", "-c", SCRIPT, timeout=120, check=True)
        mounts = self.mounts(name)
        self.assertEqual(mounts["uidmap"], f"0:{FIRST}:65536")
        upper = mounts["upperdir"]
        wait_until(lambda: os.path.exists(f"{upper}/done"), 60, "the script's end")
        with open(log) as file:
            said = file.read()
        owners = {path: (os.stat(f"{upper}/{path}").st_uid, os.stat(f"{upper}/{path}").st_gid)
                  for path in ("etc/group", "made", "made/new", "done")}
        for layer in mounts["lowerdir"].split(":"):
            self.assertEqual(os.stat(f"{layer}/etc/group").st_uid, 0)
        self.containerd.ctr("task", "kill", "-s", "KILL", name)
        self.wait_status(name, "STOPPED", 60)
        self.containerd.ctr("task", "delete", name, check=True, timeout=60)
        return said, owners

    @core
    def test_a_container_sees_its_own_users_and_the_host_the_mapped_ones(self):
        self.addCleanup(os.rmdir, f"/run/containerd/runc/{self.containerd.namespace}")
        plain = self.written(self.containerd.new_id(), "io.containerd.runc.v2")
        mine = self.written(self.name, self.runtime.type)
        self.assertEqual(mine, plain)
        self.assertEqual(mine[1]["made/new"], (FIRST + 5, FIRST + 6))
        self.assertEqual(mine[1]["etc/group"], (FIRST, FIRST))
