# SPDX-License-Identifier: Apache-2.0
"""What goes wrong outside: each error arrives within ten seconds and names cause and remedy."""

import os

from support.case import ContainerdCase, core, only

SECONDS = 10


class ErrorCase(ContainerdCase):
    def refused(self, pattern, *flags, command=("true",), name=None, env=None):
        done = self.containerd.run(name or self.name, list(command), "--rm", *flags, env=env,
                                   timeout=60)
        self.assertNotEqual(done.code, 0, done)
        self.assertLess(done.seconds, SECONDS, done)
        for part in [pattern] if isinstance(pattern, str) else pattern:
            self.assertRegex(done.err, part)
        self.containerd.remove(name or self.name)
        self.assert_clean()
        return done


@only("kata", "these files and programs are the product's")
class Configuration(ErrorCase):
    """Each case changes the configuration that a container is started with."""

    def config(self, **changes):
        return self.runtime.write_config(f"{self.containerd.base}/changed.toml", **changes)

    def refused_with(self, pattern, path):
        return self.refused(pattern, "--runtime-config-path", path)

    def cut(self, path, size):
        short = f"{self.containerd.base}/cut-{os.path.basename(path)}"
        with open(path, "rb") as source, open(short, "wb") as target:
            target.write(source.read(size))
        return short

    @core
    def test_no_qemu(self):
        self.refused_with([r"/no/such/qemu", r"(?i)install|hypervisor\.qemu|path"],
                          self.config(path="/no/such/qemu"))

    def test_no_virtiofsd(self):
        self.refused_with([r"/no/such/virtiofsd", r"(?i)install|virtio_fs_daemon"],
                          self.config(virtio_fs_daemon="/no/such/virtiofsd"))

    def test_no_kernel(self):
        self.refused_with([r"/no/such/vmlinux", r"(?i)kernel"], self.config(kernel="/no/such/vmlinux"))

    def test_no_initrd(self):
        self.refused_with([r"/no/such/initrd", r"(?i)initrd"], self.config(initrd="/no/such/initrd"))

    def test_a_truncated_kernel(self):
        self.refused_with(r"(?i)kernel", self.config(kernel=self.cut(self.runtime.kernel, 5000)))

    def test_a_kernel_that_ends_in_the_middle(self):
        size = os.path.getsize(self.runtime.kernel) // 2
        self.refused_with(r"(?i)kernel", self.config(kernel=self.cut(self.runtime.kernel, size)))

    def test_a_truncated_initrd(self):
        size = os.path.getsize(self.runtime.initrd) // 2
        self.refused_with(r"(?i)initrd|panic|init", self.config(
            initrd=self.cut(self.runtime.initrd, size)))

    def test_an_empty_initrd(self):
        self.refused_with(r"(?i)initrd", self.config(initrd=self.cut(self.runtime.initrd, 0)))

    def test_a_program_that_is_no_hypervisor(self):
        self.refused_with(r"/bin/true", self.config(path="/bin/true"))

    def test_a_memory_size_that_no_host_has(self):
        self.refused_with([r"(?i)memory", r"default_memory|MiB"], self.config(default_memory=1 << 40))

    def test_a_memory_size_that_no_guest_can_use(self):
        self.refused_with([r"(?i)memory", r"default_memory"], self.config(default_memory=1))

    def test_a_broken_file_names_its_line(self):
        path = f"{self.containerd.base}/broken.toml"
        with open(path, "w") as file:
            file.write('# comment\n[hypervisor.qemu]\npath = "unclosed\n')
        self.refused_with([r"broken\.toml", r"\b3\b"], path)

    def test_a_wrong_type_names_file_line_and_key(self):
        path = self.config(default_vcpus="many")
        with open(path) as file:
            line = next(i for i, text in enumerate(file, 1) if "default_vcpus" in text)
        self.refused_with([r"changed\.toml", rf"\b{line}\b", r"default_vcpus"], path)

    def test_an_unreadable_file(self):
        folder = f"{self.containerd.base}/folder.toml"
        os.makedirs(folder, exist_ok=True)
        self.refused_with(r"folder\.toml", folder)
        self.refused_with(r"/no/such/file\.toml", "/no/such/file.toml")

    def test_the_file_that_the_environment_names_counts_too(self):
        with open(self.runtime.config) as file:
            good = file.read()
        self.addCleanup(self.runtime.write_config, self.runtime.config)
        with open(self.runtime.config, "w") as file:
            file.write(good + "\n[hypervisor.qemu\n")
        self.refused(os.path.basename(self.runtime.config))

    def test_an_unknown_key_is_no_error(self):
        path = self.config(no_such_key=1)
        self.assert_output(self.containerd.run(self.name, ["echo", "ok"], "--rm",
                                               "--runtime-config-path", path), "ok\n")


class Requests(ErrorCase):
    def test_ids_that_are_no_names(self):
        for bad in ("a/b", "..", "x" * 1000):
            with self.subTest(id=bad[:10]):
                self.refused(r"identifier|invalid", name=bad)

    @core
    def test_a_missing_executable_is_named_as_runc_names_it(self):
        self.refused(r'exec: \\?"no-such-program\\?": executable file not found in \$PATH',
                     command=("no-such-program",))

    def test_a_missing_root_file_system(self):
        done = self.containerd.ctr("run", "--rm", "--runtime", self.runtime.type, "--rootfs",
                                   "/no/such/tree", self.name, "true", timeout=60)
        self.assertNotEqual(done.code, 0)
        self.assertRegex(done.err, r"/no/such/tree|rootfs")
        self.containerd.remove(self.name)
        self.assert_clean()

    def test_a_memory_limit_that_is_impossible(self):
        done = self.containerd.run(self.name, ["true"], "--rm", "--memory-limit", "4096", timeout=30)
        self.assertNotEqual(done.code, 0, done)
        self.assertRegex(done.err, r"(?i)memory|oom|killed")
        self.containerd.remove(self.name)
        self.assert_clean()


class FullDisk(ErrorCase):
    # The daemon and its shims see a root folder with no room to spare.
    prelude = "mkdir -p {base}/root; mount -t tmpfs -o size=24m tmpfs {base}/root"

    def test_a_full_disk_under_the_root_file_system_is_the_programs_error(self):
        done = self.containerd.run(self.name, self.shell(
            "dd if=/dev/zero of=/fill bs=64k; ls /bin/sh; rm /fill; "
            # The guest tells virtiofsd that nobody has the file open when nobody waits for it.
            "until echo x > /small; do sleep 1; done; cat /small"),
            "--rm", timeout=60)
        self.assert_output(done, "/bin/sh\nx\n")
        self.assertIn("No space left on device", done.err)
        self.assert_clean()


@only("kata", "runc keeps next to nothing in /run")
class FullRun(ErrorCase):
    # Few inodes and no pages: neither a folder nor a file more can be made below /run.
    prelude = ("mount -t tmpfs -o size=64k,nr_inodes=24 tmpfs /run; mkdir -p /run/lock /run/containerd; "
               "dd if=/dev/zero of=/run/fill bs=4k 2>/dev/null || true; i=0; "
               "while touch /run/f$i 2>/dev/null; do i=$((i+1)); done")

    def test_a_full_run_folder_is_named(self):
        self.refused([r"/run", r"No space left on device"])
