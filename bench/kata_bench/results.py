# SPDX-License-Identifier: Apache-2.0
"""Results as JSON: one file a run. What is written is read again; foreign files are refused by name.

{
 "schema": 1, "program": "kata-bench", "when": RFC 3339, "seconds": N, "complete": bool, "ended": TEXT,
 "settings": {via, quick, only, rounds, seed, memory_mib, command}, "machine": {...}, "noise": {...},
 "runtimes": [{name, family, version, path, kind, accelerator, notes}],
 "absent": [{name, how}],
 "values": [{metric, runtime, samples, error, unsupported, note}],
 "facts": {runtime: {key: text or bool}}
}
"""

import glob
import json
import os

SCHEMA = 1


class ResultError(Exception):
    """A file that is no result; the message names it."""


class Collector:
    """Takes the worker's events as they come, and is at every moment a result that can be written."""

    def __init__(self, settings, machine, when):
        self.data = {"schema": SCHEMA, "program": "kata-bench", "when": when, "seconds": 0,
                     "complete": False, "ended": "running", "settings": settings,
                     "machine": machine, "noise": {}, "runtimes": [], "absent": [], "values": [],
                     "facts": {}}
        self._rows = {}

    def row(self, metric, runtime):
        key = (metric, runtime)
        if key not in self._rows:
            self._rows[key] = {"metric": metric, "runtime": runtime, "samples": []}
            self.data["values"].append(self._rows[key])
        return self._rows[key]

    def take(self, event):
        """Adds what an event says, when it is one of those that results consist of."""
        kind = event["event"]
        if kind == "runtime":
            self.data["runtimes"].append(event["runtime"])
        elif kind == "absent":
            self.data["absent"].append({"name": event["name"], "how": event["how"]})
        elif kind == "samples":
            row = self.row(event["metric"], event["runtime"])
            row["samples"] += event["samples"]
            if event.get("note"):
                row["note"] = event["note"]
        elif kind in ("error", "unsupported"):
            self.row(event["metric"], event["runtime"])[kind] = event["reason"]
        elif kind == "facts":
            self.data["facts"].setdefault(event["runtime"], {}).update(event["facts"])
        elif kind == "noise":
            self.data["noise"] = event["noise"]

    def finish(self, seconds, complete, ended):
        self.data.update(seconds=round(seconds, 1), complete=complete, ended=ended)
        return self.data


def write(data, path):
    part = f"{path}.part"
    with open(part, "w") as file:
        json.dump(data, file, indent=1)
        file.write("\n")
    os.replace(part, path)


def read(path):
    try:
        with open(path) as file:
            data = json.load(file)
    except OSError as error:
        raise ResultError(f"read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ResultError(f"{path}: no JSON: {error}") from None
    if not isinstance(data, dict) or data.get("program") != "kata-bench":
        raise ResultError(f"{path}: no result of kata-bench")
    if data.get("schema") != SCHEMA:
        raise ResultError(f"{path}: schema {data.get('schema')}, this kata-bench reads {SCHEMA}")
    return data


def newest(folder):
    """Path of the newest result in the folder, or None."""
    found = [path for path in glob.glob(f"{folder}/kata-bench-*.json") if os.path.isfile(path)]
    return max(found, key=os.path.getmtime, default=None)


def samples(data, metric, runtime):
    for row in data["values"]:
        if row["metric"] == metric and row["runtime"] == runtime:
            return row["samples"]
    return []
