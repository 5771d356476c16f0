# SPDX-License-Identifier: Apache-2.0
"""Networks for tests: a namespace that plays the host's part, namespaces for containers, and one
for somebody outside.

Nothing of the real host's network is touched. CNI's plugins come from Debian's
containernetworking-plugins, unpacked into the cache.
"""

import contextlib
import functools
import itertools
import json
import os
import subprocess

from . import debs
from .process import BedError, run, wait_until
from .traffic import fetch


def fetch_plugins():
    """Folder of the CNI plugins, downloaded on first use."""
    return f"{debs.unpack('containernetworking-plugins')}/usr/lib/cni"


class Outside:
    """Somebody beside the host, one cable away: a namespace with a veth to the one that plays the host.

    enter    makes a command line that runs in the host's namespace of one that runs here
    """

    HOST, ADDRESS, HOST6, ADDRESS6 = "192.0.2.1", "192.0.2.2", "fd99::1", "fd99::2"

    def __init__(self, enter, name):
        self._enter, self.name = enter, name
        for line in (f"netns add {name}",
                     f"link add outside type veth peer name eth0 netns {name}",
                     f"address add {self.HOST}/24 dev outside",
                     f"-6 address add {self.HOST6}/64 dev outside nodad",
                     "link set outside up",
                     f"-n {name} address add {self.ADDRESS}/24 dev eth0",
                     f"-n {name} -6 address add {self.ADDRESS6}/64 dev eth0 nodad",
                     f"-n {name} link set lo up",
                     f"-n {name} link set eth0 up"):
            self._ip(line)

    def _ip(self, line):
        done = run(self._enter("ip", *line.split()), 30)
        if done.code != 0:
            raise BedError(f"{done}")

    def argv(self, *command):
        return self._enter("ip", "netns", "exec", self.name, *command)

    def destroy(self):
        self._ip("link delete outside")
        self._ip(f"netns delete {self.name}")


def is_mount_point(path):
    """Also of a folder that is mounted on itself, which os.path.ismount() does not see."""
    with open("/proc/self/mounts") as mounts:
        return any(line.split()[1] == path for line in mounts)


class Network:
    """The namespace that plays the host, with a bridge br0 of 10.88.0.1/16 and fd88::1/64.

    plugins    folder of the CNI plugins, or None
    """

    GATEWAY, GATEWAY6 = "10.88.0.1", "fd88::1"

    def __init__(self, base, token, plugins=None):
        self.base, self.token, self.plugins = base, token, plugins
        self.host = f"kt-{token}-host"
        self._names = itertools.count(1)
        self._made = []
        self._mounts = not is_mount_point("/run/netns")
        self._add(self.host)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "br0", "type", "bridge")
        self.ip("address", "add", f"{self.GATEWAY}/16", "dev", "br0")
        self.ip("-6", "address", "add", f"{self.GATEWAY6}/64", "dev", "br0", "nodad")
        self.ip("link", "set", "br0", "up")

    def _add(self, name):
        self._check(["ip", "netns", "add", name])
        self._made.append(name)

    @staticmethod
    def _check(argv, **options):
        done = run(argv, 30, **options)
        if done.code != 0:
            raise BedError(f"{done}")
        return done.out

    def destroy(self):
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)
        self._made.clear()
        # iproute2 makes it a mount for its first namespace.
        if self._mounts and is_mount_point("/run/netns") and not os.listdir("/run/netns"):
            self._check(["umount", "/run/netns"])
            os.rmdir("/run/netns")

    def path(self, name):
        return f"/run/netns/{name}"

    def argv(self, *command, ns=None):
        return ["ip", "netns", "exec", ns or self.host, *map(str, command)]

    def ip(self, *arguments, ns=None):
        return self._check(["ip", "-n", ns or self.host, *map(str, arguments)])

    def run(self, *command, ns=None, timeout=60):
        """A program of this machine in a namespace, to its end."""
        return run(self.argv(*command, ns=ns), timeout)

    @contextlib.contextmanager
    def server(self, *command, ns=None):
        """A program that runs in the namespace until the end of the block."""
        child = subprocess.Popen(self.argv(*command, ns=ns), stdin=subprocess.PIPE)
        try:
            yield child
        finally:
            child.kill()
            child.stdin.close()
            child.wait()

    @contextlib.contextmanager
    def inhabitant(self, ns):
        """A process that lives in the namespace, so that it is not a container's alone."""
        with self.server("sleep", "infinity", ns=ns) as child:
            # Whatever enters the namespace becomes that program then.
            wait_until(lambda: open(f"/proc/{child.pid}/comm").read() == "sleep\n", 10, "sleep")
            yield child

    def new_namespace(self):
        name = f"kt-{self.token}-{next(self._names)}"
        self._add(name)
        self.ip("link", "set", "lo", "up", ns=name)
        return name

    def remove_namespace(self, name):
        self._check(["ip", "netns", "delete", name])
        self._made.remove(name)

    def add_veth(self, ns, number, name="eth0", mtu=1500, bridge="br0", addresses=None):
        """A veth pair between the bridge and `ns`, there with the addresses 10.88.0.<number> and
        fd88::<number>, and default routes."""
        port = f"{name}p{number}"
        self.ip("link", "add", port, "mtu", mtu, "type", "veth", "peer", "name", name, "mtu", mtu,
                "netns", ns)
        if bridge:
            self.ip("link", "set", port, "master", bridge)
        self.ip("link", "set", port, "up")
        for address in addresses or (f"10.88.0.{number}/16", f"fd88::{number}/64"):
            self.ip("address", "add", address, "dev", name, *(["nodad"] if ":" in address else []),
                    ns=ns)
        self.ip("link", "set", name, "up", ns=ns)
        if addresses is None:
            self.ip("route", "add", "default", "via", self.GATEWAY, ns=ns)
            self.ip("-6", "route", "add", "default", "via", self.GATEWAY6, ns=ns)
            # It comes by itself, a moment after the link is up, and is a part of the state that tests compare.
            wait_until(lambda: "inet6 fe80:" in self.ip("-6", "address", "show", name, ns=ns), 20,
                       f"the link's own address of {name}")
        return port

    def cni(self, command, plugin, ns, config, name="eth0", previous=None):
        """Runs a CNI plugin on behalf of `ns` in the host's part; what it answers."""
        if previous is not None:
            config = {**config, "prevResult": previous}
        env = {**os.environ, "CNI_COMMAND": command, "CNI_CONTAINERID": ns, "CNI_IFNAME": name,
               "CNI_NETNS": self.path(ns), "CNI_PATH": self.plugins}
        text = json.dumps({"cniVersion": "0.4.0", "name": "kt", "type": plugin, **config})
        done = run(self.argv(f"{self.plugins}/{plugin}"), 30, env=env, stdin=text.encode())
        if done.code != 0:
            raise BedError(f"{done}")
        return json.loads(done.out) if done.out.strip() else {}

    def ipam(self, subnet="10.99.0.0/24"):
        return {"type": "host-local", "dataDir": f"{self.base}/ipam",
                "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}

    def state(self, ns):
        """The namespace's links, addresses, routes, qdiscs and filters, without counters."""
        text = ""
        for line in self.ip("-o", "address", ns=ns).splitlines():
            text += line.split(" valid_lft")[0].replace(" tentative", "") + "\n"
        for family in ("-4", "-6"):
            text += "".join(line + "\n" for line in sorted(
                self.ip(family, "route", ns=ns).splitlines()))
        for link in json.loads(self.ip("-j", "link", ns=ns)):
            text += f"{link['ifname']} {link['address']} {link['mtu']} {' '.join(link['flags'])}\n"
            for what in ("qdisc", "filter"):
                parent = ["parent", "ffff:"] if what == "filter" else []
                done = run(["tc", "-n", ns, what, "show", "dev", link["ifname"], *parent], 30)
                text += done.out
        return text

    def answers(self, url, ns=None):
        """What an HTTP server says once it answers."""
        return fetch(functools.partial(self.argv, ns=ns), url)
