# SPDX-License-Identifier: Apache-2.0
"""One runtime's side: its state, its containers, and one case run in it."""

import copy
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess

from testbed import debs, image
from testbed.leftovers import new_token
from testbed.process import BedError, Terminal, run
from table import apply

HERE = os.path.dirname(os.path.realpath(__file__))
SECONDS = 300
# In log lines, in state.json, and as ls prints it.
TIME = re.compile(r'time="[^"]*"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)|'
                  r'[A-Z][a-z]{2} +\d+ \d\d:\d\d ')


class Outcome:
    """What a case left behind: {aspect: comparable text}, and the seconds it took."""

    def __init__(self, out, err, code, files, seconds):
        self.seconds = seconds
        self.aspects = {"out": out, "err": err, "code": str(code), "files": files}


class Bed:
    """Containers of one runtime (of support.runtime), all below a folder of its own."""

    def __init__(self, runtime):
        # Its configuration is this bed's: other beds come and go.
        self.runtime, self.token = copy.copy(runtime), new_token()
        self.base = f"/tmp/kt-{self.token}"
        os.mkdir(self.base, 0o711)
        self.runtime.prepare(self.base)
        if runtime.is_vm:
            self.runtime.be_patient()
        # By a path without spaces: cases say $CLI.
        self.program = f"{self.base}/{'kata-runtime' if runtime.is_vm else 'runc'}"
        os.symlink(f"{runtime.bin_dir}/kata-runtime" if runtime.is_vm else debs.runc(), self.program)
        self.env = {**os.environ, **self.runtime.environment()}
        with open(f"{HERE}/base.json") as file:
            self._spec = file.read()
        self._kept, self._count, self._failed = None, 0, {}

    def close(self):
        for name in self.cli("list", "-q").out.split():
            self.cli("delete", "--force", name)
        self.runtime.release(self.base)
        shutil.rmtree(self.base, ignore_errors=True)

    def argv(self, *arguments):
        return [self.program, "--root", f"{self.base}/state", *arguments]

    def cli(self, *arguments, stdin=b""):
        return run(self.argv(*arguments), SECONDS, env=self.env, stdin=stdin)

    def keep(self, container):
        """Makes `container` the one that cases run in; None: none."""
        if self._kept and self._kept[0] is not container:
            self.cli("delete", "--force", self._kept[1])
            shutil.rmtree(self._kept[2], ignore_errors=True)
            self._kept = None
        if container in self._failed:
            raise BedError(self._failed[container])
        if container and not self._kept:
            name, bundle = self._bundle(["sleep", "100000"], container.changes)
            with open(f"{bundle}/log", "wb") as log:
                child = subprocess.Popen(self.argv("run", "-d", "-b", bundle, name), env=self.env,
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                code = child.wait(SECONDS)
            if code:
                with open(f"{bundle}/log") as log:
                    self._failed[container] = f"no container {container.name}: {log.read().strip()}"
                raise BedError(self._failed[container])
            self._kept = container, name, bundle

    def run(self, case):
        """Runs the case to its end."""
        if case.kind == "exec":
            self.keep(case.container)
            _, name, bundle = self._kept
            argv = self.argv("exec", *(["-t"] if case.terminal else []), *case.options, name,
                             *(case.argv or ["sh", "-c", case.command]))
        else:
            self.keep(None)
            name, bundle = self._bundle(case.argv or ["sh", "-c", case.command], case.changes)
            if case.terminal:
                self._change(bundle, [("set", "process.terminal", True)])
            argv = self.argv("run", *case.options, "-b", bundle, name)
            if case.kind == "host":
                self._change(bundle, [] if any("process.args" == path for _, path, _ in case.changes)
                             else [("set", "process.args", ["sleep", "100000"])])
                argv = ["/bin/sh", "-c", case.command]
        before = tree(bundle)
        env = {**self.env, "CLI": " ".join(self.argv()), "ID": name, "BUNDLE": bundle}
        if case.terminal:
            done = on_terminal(argv, env, case.stdin)
        else:
            done = run(argv, SECONDS, env=env, stdin=case.stdin)
        files = difference(before, tree(bundle))
        if case.kind != "exec":
            self.cli("delete", "--force", name)
            shutil.rmtree(bundle, ignore_errors=True)
        out, err, files = (self._neutral(text, name) for text in (done.out, done.err, files))
        return Outcome(out, err, done.code, files, done.seconds)

    def _neutral(self, text, name):
        text = text.replace(name, "<id>").replace(self.base, "<base>")
        text = re.sub(r"<base>/b\d+", "<bundle>", text)
        text = text.replace('msg="runc ', 'msg="<runtime> ').replace('msg="kata-runtime ',
                                                                     'msg="<runtime> ')
        return TIME.sub("<time>", text)

    def _bundle(self, command, changes):
        self._count += 1
        name, bundle = f"c{self._count}-{self.token}", f"{self.base}/b{self._count}"
        os.mkdir(bundle)
        image.write_tree(f"{bundle}/rootfs")
        os.makedirs(f"{bundle}/volume/inside")
        with open(f"{bundle}/volume/file", "w") as file:
            file.write("of the host\n")
        with open(f"{bundle}/config.json", "w") as file:
            file.write(self._spec.replace("@BUNDLE@", bundle))
        edited = json.loads(json.dumps(changes).replace("@BUNDLE@", bundle))
        self._change(bundle, [("set", "process.args", command), *edited])
        return name, bundle

    def _change(self, bundle, changes):
        with open(f"{bundle}/config.json") as file:
            spec = json.load(file)
        apply(spec, changes)
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(spec, file)


class _TerminalDone:
    def __init__(self, out, code, seconds):
        self.out, self.err, self.code, self.seconds = out, "", code, seconds


def on_terminal(argv, env, stdin):
    """Runs argv on a terminal, types `stdin` once there is output (or at once if none is due)."""
    import time
    begin = time.monotonic()
    terminal = Terminal(argv, env=env, size=(24, 80))
    try:
        if stdin:
            terminal.read_until(re.compile(rb"ready"), SECONDS)
            terminal.write(stdin)
        code = terminal.wait(SECONDS)
        # A runtime may leave the line discipline's doubled carriage returns on raw terminals.
        out = re.sub(rb"\r+\n", b"\n", terminal.output).decode(errors="replace")
        return _TerminalDone(out, code, time.monotonic() - begin)
    finally:
        terminal.close()


def tree(bundle):
    """{path: description} of everything below the bundle's root file system and volume."""
    found = {}
    for top in ("rootfs", "volume"):
        stack = [f"{bundle}/{top}"]
        while stack:
            folder = stack.pop()
            for entry in os.scandir(folder):
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    stack.append(entry.path)
                found[entry.path[len(bundle) + 1:]] = describe(entry.path, info)
    return found


def describe(path, info):
    text = f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid} links {info.st_nlink}"
    if stat.S_ISLNK(info.st_mode):
        return f"{text} -> {os.readlink(path)}"
    if stat.S_ISBLK(info.st_mode) or stat.S_ISCHR(info.st_mode):
        return f"{text} device {os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    if stat.S_ISREG(info.st_mode):
        text += f" {info.st_size} bytes"
        if info.st_size <= 1 << 20 and info.st_nlink == 1 and not path.endswith("/busybox"):
            with open(path, "rb") as file:
                text += " " + hashlib.sha256(file.read()).hexdigest()[:12]
    return text + "".join(f" {name}" for name in sorted(os.listxattr(path)))


def difference(before, after):
    """What has been changed, made (+) and removed (-), a line each."""
    lines = [f"- {path}" for path in before if path not in after]
    lines += [f"+ {path} {text}" for path, text in after.items() if before.get(path) != text]
    return "".join(f"{line}\n" for line in sorted(lines))
