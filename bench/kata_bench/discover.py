# SPDX-License-Identifier: Apache-2.0
"""Which runtimes are there, which are absent, and how the absent ones can be had."""

import os
import shutil
import subprocess

from . import kata_modes, runtimes, tools
from .runtimes import Runtime

KNOWN = ("runc", "crun", "runsc", "kata", "kata-upstream", "sysbox")
HOW = {
    "runc": "apt-get install runc",
    "crun": "apt-get install crun",
    "runsc": "scripts/fetch-runsc builds it from gVisor's Go module; then run again",
    "kata": "scripts/install, or scripts/build in the source tree",
    "kata-upstream": "install Kata Containers 3 or later below /opt/kata; needs --via ctr",
    "sysbox": "install Sysbox's package for your distribution and start its services",
}


class DiscoverError(Exception):
    """A wrong option; the message says which."""


def version_of(argv, env=None):
    """The first version-like word that the program tells of itself; empty when it tells none."""
    for words in (["--version"], ["version"]):
        try:
            done = subprocess.run([*argv, *words], env={**os.environ, **(env or {})}, timeout=20,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        if done.returncode == 0:
            for word in (done.stdout + " " + done.stderr).split():
                if word.lstrip("v")[:1].isdigit():
                    return word.rstrip(",;")
    return ""


class Discovery:
    """found holds Runtimes in order, absent {name: how to get it}.

    fetch    whether runc, crun and runsc may be unpacked or built when the system lacks them
    say      takes a line for people
    """

    def __init__(self, options, say):
        self._options, self._say = options, say
        self.found, self.absent = [], {}

    def run(self, names=None):
        """Looks for the runtimes of these names, or all known; adds those of --runtime."""
        makers = {"runc": self._runc, "crun": self._crun, "runsc": self._runsc, "kata": self._kata,
                  "kata-upstream": self._kata_upstream, "sysbox": self._sysbox}
        for name in KNOWN:
            if names and not any(name == wanted.split(":")[0] for wanted in names):
                continue
            try:
                made = makers[name]()
            except tools.FetchError as error:
                self.absent[name] = f"{error}; {HOW[name]}"
                continue
            if made:
                self.found += made
            else:
                self.absent[name] = HOW[name]
        for text in self._options.runtime:
            self.found.append(named(text))
        return self

    def _runc(self):
        path = shutil.which("runc")
        if not path and self._options.fetch:
            path = tools.runc()
        return path and [Runtime("runc", "runc", argv=[path], shim="io.containerd.runc.v2",
                                 runc_binary=path, path=path, version=version_of([path]))]

    def _crun(self):
        path, env = shutil.which("crun"), {}
        if not path and self._options.fetch:
            path, env = tools.crun()
        return path and [Runtime("crun", "crun", argv=[path], env=env, shim="io.containerd.runc.v2",
                                 runc_binary=path, path=path, version=version_of([path], env))]

    def _runsc(self):
        path = shutil.which("runsc")
        if not path and self._options.fetch:
            path = f"{tools.runsc()[1]}/runsc"
        if not path:
            return None
        has_shim = os.path.exists(f"{os.path.dirname(path)}/containerd-shim-runsc-v1") or \
            shutil.which("containerd-shim-runsc-v1")
        return [Runtime("runsc", "runsc", runtimes.SENTRY, argv=[path],
                        shim="io.containerd.runsc.v1" if has_shim else "io.containerd.runc.v2",
                        runc_binary="" if has_shim else path, path=path,
                        path_dirs=[os.path.dirname(path)], version=version_of([path]))]

    def _kata(self):
        bin_dir = self._kata_folder()
        if not bin_dir:
            return None
        program = f"{bin_dir}/kata-runtime"
        guest = guest_folder(bin_dir, self._options.guest)
        if not guest:
            raise DiscoverError(f"no kernel and initrd for {program}: run scripts/build, or say "
                                "--guest FOLDER")
        modes = kata_modes.offered(bin_dir)
        if self._options.modes:
            modes = [mode for mode in modes if mode in self._options.modes]
        # Once a VM runs it is the same whatever it began from: the last mode stands for all.
        return [Runtime(f"kata ({mode})", "kata", runtimes.VM, argv=[program], mode=mode,
                        shim="io.containerd.kata.v2", path=program, path_dirs=[bin_dir],
                        version=version_of([program]), steady=mode == steady_mode(modes),
                        files={"bin": bin_dir, "guest": guest})
                for mode in modes]

    def _kata_folder(self):
        if self._options.bin:
            if not os.path.exists(f"{self._options.bin}/kata-runtime"):
                raise DiscoverError(f"--bin {self._options.bin}: no kata-runtime in it")
            return self._options.bin
        built = f"{tools.ROOT}/build/release/bin"
        if os.path.exists(f"{built}/kata-runtime"):
            return built
        path = shutil.which("kata-runtime")
        return path and os.path.dirname(os.path.realpath(path))

    def _kata_upstream(self):
        shim = "/opt/kata/bin/containerd-shim-kata-v2"
        return os.path.exists(shim) and [
            Runtime("kata-upstream", "kata-upstream", runtimes.VM, shim=shim, path=shim,
                    version=version_of(["/opt/kata/bin/kata-runtime"]))]

    def _sysbox(self):
        path = shutil.which("sysbox-runc")
        return path and [Runtime("sysbox", "sysbox", argv=[path], shim="io.containerd.runc.v2",
                                 runc_binary=path, path=path, version=version_of([path]))]


def steady_mode(modes):
    return kata_modes.TEMPLATE if kata_modes.TEMPLATE in modes else modes[0] if modes else None


def guest_folder(bin_dir, wanted=None):
    """The folder with the guest's kernel and initrd, or None."""
    for folder in ([wanted] if wanted else [os.path.normpath(f"{bin_dir}/../../guest"),
                                            os.path.normpath(f"{bin_dir}/../share/kata-containers"),
                                            f"{tools.ROOT}/build/guest"]):
        if all(os.path.exists(f"{folder}/{name}")
               for name in ("vmlinux.container", "kata-containers-initrd.img")):
            return os.path.abspath(folder)
    return None


def named(text):
    """The runtime of --runtime NAME=BINARY|SHIM."""
    name, equals, target = text.partition("=")
    if not equals or not name or not target:
        raise DiscoverError(f'--runtime {text}: give NAME=PATH or NAME=io.containerd.NAME.v2')
    if target.startswith("io.containerd."):
        return Runtime(name, "other", shim=target, path=target)
    path = shutil.which(target) or os.path.abspath(target)
    if not os.path.isfile(path):
        raise DiscoverError(f"--runtime {text}: no file {path}")
    if os.path.basename(path).startswith("containerd-shim-"):
        return Runtime(name, "other", shim=path, path=path)
    return Runtime(name, "other", argv=[path], shim="io.containerd.runc.v2", runc_binary=path,
                   path=path, version=version_of([path]))
