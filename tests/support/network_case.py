# SPDX-License-Identifier: Apache-2.0
"""The base of tests about containers in network namespaces."""

import secrets

from testbed.network import Network, fetch_plugins
from testbed.process import wait_until

from .case import ContainerdCase, Settings, snapshot


class NetworkCase(ContainerdCase):
    """self.net is a network of the class; new containers get namespaces of it."""

    plugins = False

    @classmethod
    def set_up_bed(cls):
        plugins = fetch_plugins() if cls.plugins else None
        cls.net = Network(cls.containerd.base, cls.containerd.token, plugins)
        cls.addClassCleanup(cls.net.destroy)

    @classmethod
    def _finish(cls):
        # The bed's namespaces are no leftovers.
        if hasattr(cls, "net"):
            if cls.containerd.process.poll() is None:
                cls.containerd.remove_all()
            cls.net.destroy()
        super()._finish()

    def new_namespace(self):
        """A namespace of the class, which is no leftover."""
        ns = self.net.new_namespace()
        self.before = snapshot()
        return ns

    def in_namespace(self, ns):
        return ["--with-ns", f"network:{self.net.path(ns)}"]

    def run_in(self, ns, *lines, name=None, **options):
        return self.containerd.run(name or self.name, self.shell(*lines), "--rm",
                                   *self.in_namespace(ns), **options)

    def start_in(self, ns, *lines, name=None):
        self.containerd.run_detached(name or self.name, self.shell(*lines), *self.in_namespace(ns))

    def inside(self, *lines, name=None):
        # ctr would take the -c of "sh -c" for an option of its own.
        return self.containerd.exec(name or self.name, ["script", "\n".join(lines)])

    def wait_inside(self, command, text, seconds=30):
        def there():
            return text in self.inside(command).out
        wait_until(there, seconds, lambda: f"{text!r} in {self.inside(command)}")


class EarlyNetworkCase(NetworkCase):
    """For a containerd with a prelude: self.ns, with eth0 of this number, is there before it, since its
    mount namespace has what was there before it."""

    number = 0

    @classmethod
    def setUpClass(cls):
        cls.net = Network("/tmp", secrets.token_hex(4))
        cls.addClassCleanup(cls.net.destroy)
        cls.ns = cls.net.new_namespace()
        cls.net.add_veth(cls.ns, cls.number)
        super().setUpClass()

    @classmethod
    def set_up_bed(cls):
        pass
