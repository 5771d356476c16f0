# SPDX-License-Identifier: Apache-2.0
"""What formatters make of a page, and say about it."""

import os
import re
import shutil
import subprocess
import tempfile


def plain(source):
    """A page's words without roff, a line a line of the source."""
    text = re.sub(r"(?m)^\.(SH|SS|TP|PP|TH)\b ?", "", source)
    text = re.sub(r"\\f[BIR]", "", text)
    for roff, character in (("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\(ga", "`"), ("\\(ti", "~"),
                            ("\\(ha", "^"), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(roff, character)
    return text


def complaints(name, source):
    """What man, lexgrog and mandoc say about a page; empty when they are content or absent."""
    found = []
    with tempfile.TemporaryDirectory(prefix="kata-words-") as folder:
        path = f"{folder}/{name}"
        with open(path, "w") as file:
            file.write(source)
        for argv in (["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", path], ["lexgrog", path],
                     ["mandoc", "-Tlint", "-W", "style", path]):
            if not shutil.which(argv[0]):
                continue
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False,
                                  env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"})
            output = done.stdout if argv[0] == "mandoc" else ""
            # A page without a date is one of a build that knows none.
            output = "\n".join(line for line in output.splitlines() if "missing date" not in line)
            if done.stderr or output or (done.returncode != 0 and argv[0] != "mandoc"):
                found.append(f"{argv[0]}: {done.stderr}{output}")
    return "".join(found)
