# SPDX-License-Identifier: Apache-2.0
"""The guest's kernel, our own or a distribution's: what it loads by itself and what it is told to."""

import re

from support.case import ContainerdCase, core, only


@only("kata", "a container of the host has the host's modules")
class GuestKernel(ContainerdCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.info = cls.runtime.kernel_info()

    def modules(self, *modules):
        """Flags for ctr run: a configuration with these kernel_modules."""
        path = self.runtime.write_config(f"{self.containerd.base}/modules-{self.name}.toml",
                                         agent={"kernel_modules": list(modules)})
        return "--runtime-config-path", path

    def refused(self, modules, *patterns):
        done = self.containerd.run(self.name, ["true"], "--rm", *self.modules(*modules), timeout=60)
        self.assertNotEqual(done.code, 0, done)
        for pattern in patterns:
            self.assertRegex(done.err, pattern)
        self.containerd.remove(self.name)
        self.assert_clean()

    @core
    def test_the_kernel_is_the_one_that_stands_beside_it(self):
        if not self.info:
            self.skipTest("no kernel.info")
        done = self.containerd.run(self.name, ["uname", "-r"], "--rm")
        self.assert_output(done, self.info["release"] + "\n")

    @core
    def test_what_a_container_asks_for_is_there_or_comes(self):
        done = self.containerd.run(self.name, self.shell(
            "mkdir /dev/net; mknod /dev/net/tun c 10 200; : <> /dev/net/tun && echo tun",
            "mknod /dev/loop-control c 10 237; : <> /dev/loop-control && echo loop",
            "mkdir /l /u /w /m; mount -t tmpfs t /u; mkdir /u/u /u/w; "
            "mount -t overlay -o lowerdir=/l,upperdir=/u/u,workdir=/u/w o /m && echo overlay",
            "ip link add b0 type bridge && ip link add v0 type veth peer name v1 && echo links"),
            "--rm", "--privileged")
        self.assertEqual(done.out.split(), ["tun", "loop", "overlay", "links"], done)

    def test_what_no_module_answers_to_is_an_ordinary_error(self):
        done = self.containerd.run(self.name, self.shell(
            "mkdir /m; mount -t no-such-fs none /m; echo $?"), "--rm", "--privileged")
        self.assertRegex(done.err, r"No such device")
        self.assertNotEqual(done.out.strip(), "0")

    @core
    def test_modules_of_the_configuration_are_there_with_their_parameters(self):
        if self.info.get("kind") != "distribution":
            # Built in, and set when the kernel started.
            self.refused(["ip_vs conn_tab_bits=10"], r"ip_vs", r"ip_vs\.conn_tab_bits=10",
                         r"kernel_params")
            return
        done = self.containerd.run(self.name, ["cat", "/sys/module/ip_vs/parameters/conn_tab_bits"],
                                   "--rm", *self.modules("overlay", "br-netfilter", "ip_vs conn_tab_bits=10"))
        self.assert_output(done, "10\n")

    def test_what_is_there_already_is_no_error(self):
        done = self.containerd.run(self.name, ["echo", "ok"], "--rm",
                                   *self.modules("virtio_net", "ext4", "fuse", "veth"))
        self.assert_output(done, "ok\n")

    @core
    def test_a_module_that_no_guest_has_is_refused_with_kernel_and_remedy(self):
        self.refused(["overlay", "no_such_module x=1"], r'kernel module \\?"no_such_module\\?"',
                     re.escape(self.info.get("release", "kernel")), r"kernel_modules",
                     r"docs/guest-kernel\.md")

    def test_a_name_that_is_none_is_refused(self):
        self.refused(["../../etc/passwd"], r"bad name")
