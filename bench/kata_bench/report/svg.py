# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG to be put into a page, whose style sheet has the colours: bars with intervals, and
distributions of samples on a logarithmic axis.

A chart is as wide as a phone, in units that are pixels there; labels stand above what they name, so that
none can reach into another.
"""

import math
from dataclasses import dataclass, field
from html import escape

from .. import stats
from .model import significant

WIDTH, LEFT, RIGHT = 360, 4, 356
ROW, BAR = 38, 12


@dataclass
class Bar:
    """One row of a chart. colour is the name of a class of the page; low and high may be None."""

    label: str
    value: float
    low: float = None
    high: float = None
    colour: str = ""
    hatched: bool = False
    samples: list = field(default_factory=list)


def _text(x, y, text, css="", anchor="start"):
    return (f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
            f'{f" class={chr(34)}{css}{chr(34)}" if css else ""}>{escape(text)}</text>')


def _frame(height, title, body):
    return (f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, True)}" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>')


def _shape(bar, x, y, width, height):
    css = f"fill {bar.colour}{' hatched' if bar.hatched else ''}"
    return (f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{max(1.0, width):.1f}" '
            f'height="{height:g}" rx="2"/>')


def bars(title, rows, unit):
    """Horizontal bars from 0; the thin line is the interval."""
    top = max(max(row.value, row.high or 0) for row in rows)
    scale = (RIGHT - LEFT) / top if top > 0 else 0
    body = []
    for number, row in enumerate(rows):
        y = number * ROW
        body.append(_text(LEFT, y + 15, row.label))
        body.append(_text(RIGHT, y + 15, f"{significant(row.value)} {unit}", "value", "end"))
        body.append(_shape(row, LEFT, y + 20, row.value * scale, BAR))
        if row.low is not None and row.high > row.low:
            left, right, middle = LEFT + row.low * scale, LEFT + row.high * scale, y + 20 + BAR / 2
            body.append(f'<path class="whisker" d="M{left:.1f} {middle - 4:g}v8m0-4H{right:.1f}m0-4v8"/>')
    return _frame(len(rows) * ROW, title, body)


def ticks(low, high):
    """Values 1, 2 and 5 times powers of ten between low and high; at least two."""
    found = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        found += [factor * 10.0 ** power for factor in (1, 2, 5)]
    inside = [value for value in found if low <= value <= high]
    if len(inside) > 6:
        inside = [value for value in inside if math.isclose(10 ** round(math.log10(value)), value)]
    return inside if len(inside) >= 2 else [low, high]


def distributions(title, rows, unit):
    """Every sample a dot, the middle half a box, the median a line; the axis is logarithmic."""
    everything = [sample for row in rows for sample in row.samples if sample > 0]
    low, high = min(everything) * 0.9, max(everything) * 1.1
    span = math.log(high / low)

    def place(value):
        return LEFT + (RIGHT - LEFT) * math.log(max(value, low) / low) / span
    height, body = len(rows) * ROW + 20, []
    for value in ticks(low, high):
        x = place(value)
        body.append(f'<path class="grid" d="M{x:.1f} 0V{height - 16}"/>')
        anchor = "start" if x < LEFT + 16 else "end" if x > RIGHT - 16 else "middle"
        body.append(_text(x, height - 4, significant(value), "tick", anchor))
    for number, row in enumerate(rows):
        y, ordered = number * ROW, sorted(row.samples)
        middle = y + 20 + BAR / 2
        first, median, third = (stats.quantile(ordered, part) for part in (0.25, 0.5, 0.75))
        words = f"{significant(median)} {unit}"
        if len(ordered) >= 20:
            words += f", 99 %: {significant(stats.quantile(ordered, 0.99))}"
        body.append(_text(LEFT, y + 15, row.label, "over"))
        body.append(_text(RIGHT, y + 15, words, "value over", "end"))
        body.append(_shape(row, place(first), y + 20, place(third) - place(first), BAR))
        for sample in ordered:
            body.append(f'<circle class="dot" cx="{place(sample):.1f}" cy="{middle:g}" r="2"/>')
        body.append(f'<path class="median" d="M{place(median):.1f} {y + 18:g}v{BAR + 4}"/>')
    return _frame(height, title, body)
