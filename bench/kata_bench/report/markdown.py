# SPDX-License-Identifier: Apache-2.0
"""The report as Markdown."""

from . import model, text


def _cell(value):
    return str(value).replace("|", "\\|").replace("\n", " ")


def _table(head, rows):
    lines = [f"| {' | '.join(map(_cell, head))} |", f"|{' --- |' * len(head)}"]
    return lines + [f"| {' | '.join(map(_cell, row))} |" for row in rows] + [""]


def _figure(cell):
    if cell.kind != model.MEASURED:
        return cell.short
    return f"{cell.short} ({cell.interval}; {cell.estimate.n})" if cell.interval else \
        f"{cell.short} ({cell.estimate.n})"


def render(found, decisions, title="Container runtimes side by side"):
    labels = [column.label for column in found.columns]
    titles = [column.title for column in found.columns]
    lines = [f"# {title}", ""]
    if text.accelerators(found):
        lines += [f"> **{text.accelerators(found)}**", ""]
    for paragraph in text.runs(found):
        lines += [paragraph, ""]
    lines += _table(["runtime", "runs containers on", "version", "accelerator", "notes"],
                    text.versions(found))
    for name, how in text.absent(found):
        lines.append(f"- {name} is absent: {how}")
    lines += ["" if text.absent(found) else None, "## Which runtime for what", ""]
    for decision in decisions:
        emulated = f" ({model.EMULATED})" if decision.emulated else ""
        lines += [f"### {decision.title}: {decision.choice or 'none'}{emulated}", "",
                  f"{decision.about} {decision.reason}", ""]
        lines += [f"- {flip}" for flip in decision.flips] + [""]
    lines += ["## Figures", "", text.INTERVAL, ""]
    for _, group_title, rows in found.groups:
        lines += [f"### {group_title}", ""]
        lines += _table(["figure", "unit", "better", *titles],
                        [[row.title, row.metric.unit, row.metric.better,
                          *(_figure(row.cells[label]) for label in labels)] for row in rows])
    if found.fact_rows():
        lines += ["### What a container sees", ""]
        lines += _table(["fact", *titles], [[fact, *(values[label] for label in labels)]
                                            for fact, values in found.fact_rows()])
    if found.failures():
        lines += ["## What failed or is lacking", ""]
        lines += [f"- **{label}**, {what}: {reason}" for label, what, reason in found.failures()] + [""]
    lines += ["## How each figure was made", ""]
    rows = []
    for _, _, some in found.groups:
        for row in some:
            how = text.how(row, labels)
            rows.append([row.title, how["marks"], f"`{how['command']}`", how["n"], how["notes"] or "–"])
    lines += _table(["figure", "marks", "command", "samples", "notes"], rows)
    commands = [result["settings"]["command"] for result in found.results]
    lines += ["Made by: " + "; ".join(f"`{command}`" for command in commands), ""]
    return "\n".join(line for line in lines if line is not None)
