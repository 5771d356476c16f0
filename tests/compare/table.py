# SPDX-License-Identifier: Apache-2.0
"""Reading cases.txt, whose head describes its grammar."""

import json
import re

ASPECTS = ("out", "err", "code", "files")


class TableError(Exception):
    """A line of the table that makes no sense."""


class Container:
    """A specification: `changes` are (verb, path, value) for apply()."""

    def __init__(self, name):
        self.name, self.changes = name, []


class Case:
    """One command. kind is "exec", "fresh" or "host"; differs maps an aspect to its reason."""

    def __init__(self, name, kind, container, command):
        self.name, self.kind, self.container, self.command = name, kind, container, command
        self.changes, self.options, self.argv = [], [], None
        self.stdin, self.terminal, self.differs = b"", False, {}


def read(path):
    """(containers by name, cases in order)."""
    containers, cases, target, kind, place = {}, [], None, None, None
    names = set()
    with open(path) as file:
        for number, line in enumerate(file, 1):
            text = line.rstrip("\n")
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            try:
                if text[0] != " ":
                    word, _, rest = text.partition(" ")
                    if word == "container":
                        target = containers.setdefault(rest.strip(), Container(rest.strip()))
                    elif word == "in":
                        kind, place, target = "exec", containers[rest.strip()], None
                    elif text in ("fresh", "host"):
                        kind, place, target = text, None, None
                    else:
                        target = _case(text, kind, place)
                        if target.name in names:
                            raise TableError(f"a second case {target.name}")
                        names.add(target.name)
                        cases.append(target)
                else:
                    _detail(target, text.strip())
            except (KeyError, ValueError, TableError) as error:
                raise TableError(f"{path}:{number}: {error}") from None
    return containers, cases


def _case(text, kind, place):
    match = re.match(r"([a-z0-9][a-z0-9-]*):(?: (.*))?$", text)
    if not match or not kind:
        raise TableError(f"neither a place nor NAME: COMMAND: {text}")
    return Case(match[1], kind, place, match[2] or "")


def _detail(target, text):
    if target is None:
        raise TableError("indented, but below nothing")
    word, _, rest = text.partition(" ")
    if word in ("set", "add", "remove"):
        if isinstance(target, Case) and target.kind == "exec":
            raise TableError("the specification of a shared container cannot change")
        path, _, value = rest.partition(" = ")
        target.changes.append((word, path.strip(), json.loads(value)))
    elif isinstance(target, Container):
        raise TableError(f"unknown detail {word}")
    elif word == "options":
        target.options = rest.split()
    elif word == "argv":
        target.argv = json.loads(rest)
    elif word == "stdin":
        target.stdin = json.loads(rest).encode()
    elif text == "terminal":
        target.terminal = True
    elif word == "differs":
        aspects, _, reason = rest.partition(": ")
        for aspect in aspects.split(","):
            if aspect not in ASPECTS or not reason:
                raise TableError("differs ASPECT[,ASPECT]: REASON")
            target.differs[aspect] = reason
    elif word == "|":
        target.command += ("\n" if target.command else "") + rest
    else:
        raise TableError(f"unknown detail {word}")


def apply(spec, changes):
    """Edits the specification: set a value, add to a list, remove list members like the value."""
    for verb, path, value in changes:
        *parents, last = path.split(".")
        place = spec
        for name in parents:
            place = place.setdefault(name, {})
        if verb == "set":
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        elif verb == "add":
            place.setdefault(last, []).append(value)
        else:
            place[last] = [item for item in place.get(last, []) if not _like(item, value)]


def _like(item, value):
    if isinstance(value, dict) and isinstance(item, dict):
        return all(item.get(key) == wanted for key, wanted in value.items())
    return item == value
