# SPDX-License-Identifier: Apache-2.0
"""kata-bench report."""

import dataclasses
import json
import os

from . import decide, results
from .report import html, markdown, model

DEFAULT_RULES = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/rules.toml"


def summary(found, decisions):
    """What the report says, for programs."""
    figures = []
    for _, _, rows in found.groups:
        for row in rows:
            for label, cell in row.cells.items():
                if cell.kind != model.NOTHING:
                    figures.append({"metric": row.metric.id, "unit": row.metric.unit, "runtime": label,
                                    "kind": cell.kind, "text": cell.text,
                                    **(dataclasses.asdict(cell.estimate) if cell.estimate else {})})
    return {"columns": [{"label": column.label, **column.runtime} for column in found.columns],
            "figures": figures,
            "decisions": [dataclasses.asdict(decision) for decision in decisions]}


def main(options, _program):
    paths = options.results or [results.newest(".")]
    if not paths[0]:
        raise results.ResultError("no kata-bench-*.json here: run kata-bench run first, or name a result")
    rules = decide.load(options.rules or DEFAULT_RULES)
    found = model.Model([results.read(path) for path in paths])
    decisions = decide.decide(found, rules) if found.columns else []
    if options.json:
        print(json.dumps(summary(found, decisions), indent=1))
        return 0
    if not os.path.isdir(options.out):
        raise results.ResultError(f"--out {options.out}: no such folder")
    name = options.name or os.path.splitext(os.path.basename(paths[0]))[0]
    for suffix, render in ((".md", markdown.render), (".html", html.render)):
        path = f"{options.out}/{name}{suffix}"
        with open(path, "w") as file:
            file.write(render(found, decisions))
        print(f"written: {os.path.relpath(path)}")
    return 0
