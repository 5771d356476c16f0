# SPDX-License-Identifier: Apache-2.0
"""A QEMU that does what it is told: what findings about it share."""

import json
import subprocess
import sys


class Machine:
    """with Machine(program, words...) as machine: a q35 with `mib` of memory in the backend called "m"."""

    def __init__(self, program, mib, backend, *words):
        self._argv = [program, "-nodefaults", "-display", "none", "-m", str(mib), "-machine",
                      "q35,memory-backend=m,suppress-vmdesc=on", "-object",
                      f"memory-backend-{backend},id=m,size={mib}M,share=on",
                      "-L", "/usr/share/qemu", "-L", "/usr/share/seabios", "-qmp", "stdio", *words]

    def __enter__(self):
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.DEVNULL, text=True)
        self.ask("qmp_capabilities")
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()

    def ask(self, command, **arguments):
        self._process.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            answer = json.loads(line)
            if "error" in answer:
                sys.exit(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]
        sys.exit(f"{command}: the machine has ended")

    def migrated(self):
        """How a migration has ended."""
        while (status := self.ask("query-migrate").get("status")) not in ("completed", "failed"):
            pass
        return status
