# SPDX-License-Identifier: Apache-2.0
"""A runtime as the bench knows it: how each front end is told of it, and what it is."""

from dataclasses import asdict, dataclass, field

SHARED, SENTRY, VM = "the host's kernel", "a kernel in user space", "a virtual machine"


@dataclass
class Runtime:
    """argv is the OCI command line, empty where there is none; shim is containerd's runtime type or
    the path of a shim, empty where there is none.

    runc_binary    what containerd's runc shim is to call, for runtimes that are called as runc is
    config         Kata's configuration.toml
    accelerator    kvm, tcg, or empty where there is no VM
    steady         whether all workloads run in it; of several modes of one runtime only one has to
    """

    name: str
    family: str
    kind: str = SHARED
    argv: list = field(default_factory=list)
    env: dict = field(default_factory=dict)
    shim: str = ""
    runc_binary: str = ""
    path_dirs: list = field(default_factory=list)
    config: str = ""
    mode: str = ""
    version: str = ""
    path: str = ""
    accelerator: str = ""
    steady: bool = True
    notes: list = field(default_factory=list)
    files: dict = field(default_factory=dict)

    @property
    def is_emulated(self):
        return self.accelerator == "tcg"

    @property
    def word(self):
        """The name as a part of paths, identifiers and Docker's options."""
        return "".join(c if c.isalnum() else "-" for c in self.name.lower()).strip("-").replace(
            "--", "-")

    def described(self):
        """What results keep of it."""
        kept = ("name", "family", "kind", "version", "path", "accelerator", "mode", "notes")
        return {key: value for key, value in asdict(self).items() if key in kept}


def to_json(runtime):
    return asdict(runtime)


def from_json(data):
    return Runtime(**data)
