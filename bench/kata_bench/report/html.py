# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML page that needs nothing else: style sheet, charts and raw numbers are in it."""

import base64
import csv
import io
import json
import os
from html import escape

from .. import metrics
from . import model, svg, text


def _style():
    with open(f"{os.path.dirname(os.path.abspath(__file__))}/page.css") as file:
        return file.read()


def _colour(column):
    family = column.runtime["family"]
    word = family if family in ("runc", "crun", "runsc") else \
        "kata" if family.startswith("kata") else "other"
    return f"{word} {column.runtime['mode']}".strip()


def _badge():
    return f' <span class="badge">{escape(model.EMULATED)}</span>'


def _head(columns):
    return "".join(f"<th>{escape(column.label)}{_badge() if column.is_emulated else ''}</th>"
                   for column in columns)


def _cell(row, column):
    cell = row.cells[column.label]
    if cell.kind != model.MEASURED:
        title = f' title="{escape(cell.text, True)}"' if cell.text else ""
        return f'<td class="bad"{title}>{escape(cell.short)}</td>'
    css = ' class="best"' if row.best() == column.label else ""
    small = cell.interval or "one sample"
    return f"<td{css}>{escape(cell.short)}<small>{escape(small)}</small></td>"


def _matrix(found, rows):
    body = "".join(
        f"<tr><th scope=\"row\">{escape(row.title)}<br><span class=\"soft\">{escape(row.metric.unit)}, "
        f"{row.metric.better} is better</span></th>"
        f"{''.join(_cell(row, column) for column in found.columns)}</tr>" for row in rows)
    return (f'<div class="scroll"><table><thead><tr><th></th>{_head(found.columns)}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def _bars_of(found, row):
    bars = []
    for column in found.columns:
        cell = row.cells[column.label]
        if cell.kind == model.MEASURED:
            estimate = cell.estimate
            bars.append(svg.Bar(column.title, estimate.value, estimate.low, estimate.high,
                                _colour(column), column.is_emulated, cell.samples))
    return bars


def _chart(found, row):
    """One card, or an empty text where nothing was measured: no chart is empty."""
    rows = _bars_of(found, row)
    if not rows or not any(bar.value > 0 for bar in rows):
        return ""
    metric, labels = row.metric, [column.label for column in found.columns]
    spread = metric.latency and all(len(bar.samples) > 1 and min(bar.samples) > 0 for bar in rows)
    draw = svg.distributions if spread else svg.bars
    how = text.how(row, labels)
    notes = f"<p class=\"soft\">{escape(how['notes'])}</p>" if how["notes"] else ""
    kind = "every sample; box: middle half; logarithmic" if spread else "median and interval"
    return (f'<section class="card"><h3>{escape(row.title)}</h3>'
            f'<div class="soft">{escape(metric.unit)}, {metric.better} is better · {kind}</div>'
            f"{draw(row.title, rows, metric.unit)}{notes}"
            f"<details><summary class=\"soft\">How</summary><p class=\"soft\">{escape(how['marks'])}<br>"
            f"<code>{escape(how['command'])}</code><br>samples: {escape(how['n'])}</p></details></section>")


def _decision(decision):
    flips = "".join(f"<li>{escape(flip)}</li>" for flip in decision.flips)
    return (f'<section class="card"><h3>{escape(decision.title)}</h3>'
            f'<div class="choice">{escape(decision.choice or "none of these")}'
            f'{_badge() if decision.emulated else ""}</div>'
            f'<p class="soft">{escape(decision.about)}</p><p>{escape(decision.reason)}</p>'
            + (f"<p class=\"soft\">It would be another one:</p><ul class=\"soft\">{flips}</ul>"
               if flips else "") + "</section>")


def _download(name, kind, content):
    data = base64.b64encode(content.encode()).decode()
    return f'<a download="{escape(name, True)}" href="data:{kind};base64,{data}">{escape(name)}</a>'


def as_csv(found):
    """Every sample, a line each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["metric", "unit", "runtime", "accelerator", "sample"])
    for _, _, rows in found.groups:
        for row in rows:
            for column in found.columns:
                for sample in row.cells[column.label].samples:
                    writer.writerow([row.metric.id, row.metric.unit, column.label,
                                     column.runtime["accelerator"] or "none", sample])
    return out.getvalue()


def _downloads(found):
    links = [_download(f"kata-bench-{number + 1}.json", "application/json", json.dumps(result, indent=1))
             for number, result in enumerate(found.results)]
    links.append(_download("kata-bench.csv", "text/csv", as_csv(found)))
    return f'<p class="downloads">Raw numbers: {"".join(links)}</p>'


def _facts(found):
    body = "".join(
        f"<tr><th scope=\"row\">{escape(title)}</th>"
        + "".join(f'<td class="text">{escape(values[column.label])}</td>' for column in found.columns)
        + "</tr>" for title, values in found.fact_rows())
    return (f'<h3>What a container sees</h3><div class="scroll"><table><thead><tr><th></th>'
            f"{_head(found.columns)}</tr></thead><tbody>{body}</tbody></table></div>")


def _versions(found):
    body = "".join("<tr>" + "".join(f'<td class="text">{escape(value)}</td>' for value in row) + "</tr>"
                   for row in text.versions(found))
    head = "".join(f'<th class="text">{word}</th>' for word in
                   ("runtime", "runs containers on", "version", "accelerator", "notes"))
    missing = "".join(f"<li>{escape(name)} is absent: {escape(how)}</li>"
                      for name, how in text.absent(found))
    return (f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            + (f'<ul class="soft">{missing}</ul>' if missing else ""))


def render(found, decisions, title="Container runtimes side by side"):
    warning = text.accelerators(found)
    parts = [f"<h1>{escape(title)}</h1>",
             f'<p class="warn">{escape(warning)}</p>' if warning else "",
             *(f'<p class="soft">{escape(paragraph)}</p>' for paragraph in text.runs(found)),
             _versions(found), _downloads(found)]
    if decisions:
        parts += ["<h2>Which runtime for what</h2>", '<div class="cards">',
                  *map(_decision, decisions), "</div>"]
    parts.append(f'<h2>Figures</h2><p class="soft">{escape(text.INTERVAL)} The best value of a row is '
                 "bold.</p>")
    for group, group_title, rows in found.groups:
        parts += [f'<h2 id="{group}">{escape(group_title)}</h2>', _matrix(found, rows)]
        charts = "".join(_chart(found, row) for row in rows)
        if charts:
            parts.append(f'<div class="cards">{charts}</div>')
        if group == "isolation" and found.fact_rows():
            parts.append(_facts(found))
    if found.fact_rows() and not any(group == "isolation" for group, _, _ in found.groups):
        parts.append(f"<h2>{escape(metrics.GROUPS['isolation'])}</h2>{_facts(found)}")
    if found.failures():
        parts.append("<h2>What failed or is lacking</h2><ul>" + "".join(
            f"<li><b>{escape(label)}</b>, {escape(what)}: {escape(reason)}</li>"
            for label, what, reason in found.failures()) + "</ul>")
    commands = "; ".join(f"<code>{escape(result['settings']['command'])}</code>"
                         for result in found.results)
    parts.append(f'<p class="soft">Made by {commands}</p>')
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(title)}</title><style>{_style()}</style></head>\n<body>"
            + "\n".join(part for part in parts if part) + "</body></html>\n")
