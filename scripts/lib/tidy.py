# SPDX-License-Identifier: Apache-2.0
"""tidy.py BUILD_DIR - clang-tidy over the project's sources, except tests; answers are remembered.

A source is read again only when it, a header of ours that it includes, a message of src/proto,
.clang-tidy or clang-tidy itself has changed. The includes are those that ninja recorded, so the build must be up to date.
Sources are read without precompiled headers, so that one that lacks an #include is a finding.
"""

import concurrent.futures
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

TIDY = "clang-tidy-19"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(os.environ["KATA_CACHE"], "clang-tidy")


def dependencies(build):
    """{object file: [files below the source tree that it was made from]}"""
    found, name = {}, None
    for line in subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True,
                               text=True, check=True).stdout.splitlines():
        if line.startswith("    "):
            path = os.path.join(build, line.strip())
            if os.path.realpath(path).startswith(ROOT) and "cmake_pch" not in path:
                found[name].append(path)
        elif ":" in line:
            name = line.split(":")[0]
            found[name] = []
    return found


def commands(build):
    """The compiler's commands for the sources that are checked, without precompiled headers."""
    with open(f"{build}/compile_commands.json") as file:
        for entry in json.load(file):
            path = entry["file"]
            if path.startswith((f"{ROOT}/src/", f"{ROOT}/bench/")) and not path.endswith("_test.cc"):
                command = re.sub(r" -Winvalid-pch -include \S+", "", entry["command"])
                yield entry | {"command": command}


def key(source, files, salt):
    digest = hashlib.sha256(salt)
    for path in sorted({source, *files}):
        digest.update(os.path.relpath(path, ROOT).encode() + b"\0")
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def check(database, source, mark):
    """'' when the source passes, else what clang-tidy says."""
    done = subprocess.run([TIDY, "-p", database, "-quiet", "-extra-arg=-Wno-unknown-warning-option",
                           source], capture_output=True, text=True)
    if done.returncode == 0:
        with open(mark, "w"):
            pass
        return ""
    return done.stdout.strip() or done.stderr.strip()


def main():
    build = os.path.abspath(sys.argv[1])
    os.makedirs(CACHE, exist_ok=True)
    known = dependencies(build)
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    with open(f"{ROOT}/.clang-tidy", "rb") as file:
        salt = version + file.read()
    for path in sorted(glob.glob(f"{ROOT}/src/proto/*.proto")):
        with open(path, "rb") as file:
            salt += file.read()
    todo = {}
    for entry in commands(build):
        target = re.search(r" -o (\S+)", entry["command"])[1]
        mark = os.path.join(CACHE, key(entry["file"], known.get(target, []), salt))
        if not os.path.exists(mark):
            todo[entry["file"]] = mark, entry
    print(f"clang-tidy: {len(todo)} sources to read", flush=True)
    bad = 0
    with (tempfile.TemporaryDirectory() as database,
          concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool):
        with open(f"{database}/compile_commands.json", "w") as file:
            json.dump([entry for _, entry in todo.values()], file)
        answers = [pool.submit(check, database, source, mark)
                   for source, (mark, _) in sorted(todo.items())]
        for number, answer in enumerate(concurrent.futures.as_completed(answers), 1):
            if answer.result():
                bad += 1
                print(answer.result(), flush=True)
            elif number % 20 == 0:
                print(f"clang-tidy: {number} of {len(todo)}", flush=True)
    if bad:
        sys.exit(f"clang-tidy: {bad} of {len(todo)} sources have findings")


if __name__ == "__main__":
    main()
