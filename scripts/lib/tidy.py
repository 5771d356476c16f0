# SPDX-License-Identifier: Apache-2.0
"""tidy.py BUILD_DIR [--changed] - clang-tidy over the sources, except tests; answers are remembered.

A source is read again only when it, a header of ours that it includes, a message of src/proto,
.clang-tidy or clang-tidy itself has changed. BUILD_DIR has one command for each source, without
joined sources and precompiled headers, so that a source that lacks an #include is a finding.

--changed    only sources that differ, by themselves or by a header, from the upstream branch
"""

import concurrent.futures
import functools
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

TIDY = "clang-tidy-19"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(os.environ["KATA_CACHE"], "clang-tidy")
INCLUDE = re.compile(r'^\s*#include "([^"]+)"', re.MULTILINE)


@functools.cache
def included(path):
    """Headers of ours that `path` names itself; they are all named from src/."""
    with open(path, encoding="utf-8") as file:
        names = INCLUDE.findall(file.read())
    return [found for name in names if os.path.exists(found := f"{ROOT}/src/{name}")]


def dependencies(source):
    """`source` and all headers of ours that it is made from."""
    found, todo = {source}, [source]
    while todo:
        new = [path for path in included(todo.pop()) if path not in found]
        found.update(new)
        todo += new
    return found


def commands(build):
    """The compiler's commands for the sources that are checked, without precompiled headers."""
    with open(f"{build}/compile_commands.json") as file:
        for entry in json.load(file):
            path = entry["file"]
            if path.startswith((f"{ROOT}/src/", f"{ROOT}/bench/")) and not path.endswith("_test.cc"):
                command = re.sub(r' -Winvalid-pch -include ("[^"]*"|(\\.|\S)+)', "", entry["command"])
                yield entry | {"command": command}


def key(files, salt):
    digest = hashlib.sha256(salt)
    for path in sorted(files):
        digest.update(os.path.relpath(path, ROOT).encode() + b"\0")
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def changed_files():
    """Files that differ from the upstream branch, or None where git knows of no upstream."""
    def git(*words):
        done = subprocess.run(["git", "-C", ROOT, "-c", f"safe.directory={ROOT}", *words], capture_output=True, text=True)
        return done.stdout.split("\0") if done.returncode == 0 else None
    top, base = git("rev-parse", "--show-toplevel"), git("merge-base", "HEAD", "@{upstream}")
    if base is None or top[0].strip() != ROOT:
        return None
    differing = git("diff", "--name-only", "-z", base[0].strip())
    fresh = git("ls-files", "--others", "--exclude-standard", "-z")
    if differing is None or fresh is None:
        return None
    return {f"{ROOT}/{name}" for name in [*differing, *fresh] if name}


def check(database, source, mark):
    """'' when the source passes, else what clang-tidy says."""
    # g++ tells of what is deprecated; clang would tell of it inside of g++'s own library, too.
    done = subprocess.run([TIDY, "-p", database, "-quiet", "-extra-arg=-Wno-unknown-warning-option",
                           "-extra-arg=-Wno-deprecated-declarations", source],
                          capture_output=True, text=True)
    if done.returncode == 0:
        with open(mark, "w"):
            pass
        return ""
    return done.stdout.strip() or done.stderr.strip()


def to_read(build, only_changed):
    """{source: (mark of its having passed, command)} for what has not passed in its present form."""
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    with open(f"{ROOT}/.clang-tidy", "rb") as file:
        salt = version + file.read()
    for path in sorted(glob.glob(f"{ROOT}/src/proto/*.proto")):
        with open(path, "rb") as file:
            salt += file.read()
    changed = changed_files() if only_changed else None
    todo, left_out = {}, 0
    for entry in commands(build):
        files = dependencies(entry["file"])
        mark = os.path.join(CACHE, key(files, salt))
        if os.path.exists(mark):
            continue
        if changed is not None and files.isdisjoint(changed):
            left_out += 1
        else:
            todo[entry["file"]] = mark, entry
    if left_out:
        print(f"clang-tidy: {left_out} sources are as upstream has them and are not read; "
              "`scripts/test --tidy` reads all", flush=True)
    return todo


def main():
    build = os.path.abspath(sys.argv[1])
    os.makedirs(CACHE, exist_ok=True)
    todo = to_read(build, "--changed" in sys.argv[2:])
    print(f"clang-tidy: {len(todo)} sources to read", flush=True)
    bad, told = 0, time.monotonic()
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
            elif time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"clang-tidy: {number} of {len(todo)}", flush=True)
    if bad:
        sys.exit(f"clang-tidy: {bad} of {len(todo)} sources have findings")


if __name__ == "__main__":
    main()
