# SPDX-License-Identifier: Apache-2.0
"""The matrix as text for a terminal."""

from .. import noise
from . import model


def render(data):
    found = model.Model([data])
    labels = [column.label for column in found.columns]
    titles = [column.title for column in found.columns]
    lines = []
    for _, title, rows in found.groups:
        table = [[title, *titles]]
        for row in rows:
            cells = [row.cells[label].short for label in labels]
            table.append([f"  {row.metric.title}, {row.metric.unit}", *cells])
        lines += [*_aligned(table), ""]
    if found.fact_rows():
        table = [["Isolation: what a container sees", *titles]]
        table += [[f"  {title}", *(values[label][:24] for label in labels)]
                  for title, values in found.fact_rows()]
        lines += [*_aligned(table), ""]
    for label, title, reason in found.failures():
        lines.append(f"{label}: {title}: {reason}")
    word, sentence = noise.verdict(data["noise"])
    lines.append(f"The machine was {word}: {sentence}.")
    return "\n".join(lines)


def _aligned(table):
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    return ["  ".join([row[0].ljust(widths[0]),
                       *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
            for row in table]
