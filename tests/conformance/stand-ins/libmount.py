# SPDX-License-Identifier: Apache-2.0
"""The part of libmount's Python module that crun's test_mounts.py uses; Debian 12 has no package of it.

Basis: proc_pid_mountinfo(5).
"""


class Mount:
    """vfs_options are of this mount, fs_options of its file system."""

    def __init__(self, line):
        fields, _, rest = line.partition(" - ")
        self.target, self.vfs_options = fields.split(" ")[4:6]
        self.fs_options = rest.split(" ")[2]


class Table:
    def __init__(self, path):
        with open(path) as file:
            self._mounts = [Mount(line.rstrip("\n")) for line in file if " - " in line]

    def find_target(self, target):
        """The mount that was made last on the folder."""
        return [mount for mount in self._mounts if mount.target == target][-1]
