# SPDX-License-Identifier: Apache-2.0
"""Results made ready for reading: columns, rows and cells, with estimates and reasons."""

from dataclasses import dataclass, field, replace

from .. import metrics, stats

MEASURED, FAILED, LACKS, SAME, NOTHING = "measured", "failed", "lacks", "same", "nothing"
EMULATED = "emulated VM"


def significant(value, digits=3):
    """The number as people write it, with so many digits that mean something."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100 or float(value).is_integer() and size >= 1:
        # Large numbers are rounded too, but their zeros are written.
        step = 10 ** max(0, len(str(int(size))) - digits)
        return f"{round(value / step) * step:,}".replace(",", " ")
    decimals = 0
    while decimals < 6 and size * 10 ** decimals < 10 ** (digits - 1):
        decimals += 1
    return f"{value:.{decimals}f}"


@dataclass
class Cell:
    """kind is one of the words above; text is a reason, or the column that this is the same as."""

    kind: str = NOTHING
    estimate: object = None
    samples: list = field(default_factory=list)
    text: str = ""
    note: str = ""

    @property
    def value(self):
        return self.estimate.value if self.estimate else None

    @property
    def short(self):
        """The value, or a word."""
        if self.kind == MEASURED:
            return significant(self.value)
        return {FAILED: "failed", LACKS: "not there", SAME: f"as {self.text}", NOTHING: "–"}[self.kind]

    @property
    def interval(self):
        """The interval as text; empty where one sample has none."""
        if self.kind != MEASURED or self.estimate.n < 2:
            return ""
        return f"{significant(self.estimate.low)} – {significant(self.estimate.high)}"


@dataclass
class Column:
    label: str
    runtime: dict
    result: dict
    facts: dict

    @property
    def is_emulated(self):
        return self.runtime.get("accelerator") == "tcg"

    @property
    def title(self):
        return f"{self.label} · {EMULATED}" if self.is_emulated else self.label


@dataclass
class Row:
    metric: object
    cells: dict
    title: str = ""

    def best(self):
        """Label of the best measured cell, or None."""
        measured = {label: cell.value for label, cell in self.cells.items() if cell.kind == MEASURED}
        if not measured:
            return None
        return (min if self.metric.better == metrics.LOWER else max)(measured, key=measured.get)


class Model:
    """results are dicts of results.read(); columns stand in the order of the first result."""

    def __init__(self, results):
        self.results = results
        self.columns = self._columns()
        self.groups = [(group, title, rows) for group, title in metrics.GROUPS.items()
                       if (rows := self._rows(group))]

    def _columns(self):
        found = []
        for number, result in enumerate(self.results):
            for runtime in result["runtimes"]:
                others = [r for other in self.results if other is not result
                          for r in other["runtimes"]]
                label = runtime["name"]
                if any(other["name"] == label for other in others):
                    label += f" {self._distinction(number)}"
                found.append(Column(label, runtime, result,
                                    result["facts"].get(runtime["name"], {})))
        return found

    def _distinction(self, number):
        """What makes a result different from the others: its front end, else its number."""
        vias = [result["settings"]["via"] for result in self.results]
        return f"via {vias[number]}" if len(set(vias)) == len(vias) else f"#{number + 1}"

    def column(self, label):
        return next(column for column in self.columns if column.label == label)

    def _rows(self, group):
        rows = []
        for metric in metrics.of_group(group):
            cells = {column.label: self._cell(metric, column) for column in self.columns}
            if any(cell.kind != NOTHING for cell in cells.values()):
                self._fill_same(cells)
                rows.append(Row(metric, cells, metric.title))
                if metric.tail:
                    rows.append(self._tail(metric, cells))
        return rows

    @staticmethod
    def _tail(metric, cells):
        """The same samples' high percentile, as a row of its own."""
        percent = f"{metric.tail * 100:.0f} %"
        tail = replace(metric, id=f"{metric.id}.tail", title=f"{metric.title}: {percent} are faster",
                       latency=False)

        def high(samples):
            return stats.percentile(samples, metric.tail)
        return Row(tail, {label: replace(cell, estimate=stats.estimate(cell.samples, high))
                          if cell.kind == MEASURED else cell for label, cell in cells.items()},
                   tail.title)

    @staticmethod
    def _cell(metric, column):
        for row in column.result["values"]:
            if row["metric"] != metric.id or row["runtime"] != column.runtime["name"]:
                continue
            note = row.get("note", "")
            if row["samples"]:
                return Cell(MEASURED, stats.estimate(row["samples"]), row["samples"], note=note)
            if row.get("unsupported"):
                return Cell(LACKS, text=row["unsupported"])
            if row.get("error"):
                return Cell(FAILED, text=row["error"])
        return Cell()

    def _fill_same(self, cells):
        """Of a runtime's modes one stands for the others where they do not differ."""
        for column in self.columns:
            if cells[column.label].kind != NOTHING:
                continue
            for other in self.columns:
                if other.result is column.result and other is not column and \
                        other.runtime["family"] == column.runtime["family"] and \
                        other.runtime["mode"] and cells[other.label].kind == MEASURED:
                    cells[column.label] = Cell(SAME, text=other.label)
                    break

    def row(self, metric):
        for _, _, rows in self.groups:
            for row in rows:
                if row.metric.id == metric:
                    return row
        return None

    def measured(self, metric, label):
        """The Estimate of a figure, also where another mode stands for it; None without one."""
        row = self.row(metric)
        cell = row.cells.get(label) if row else None
        if cell and cell.kind == SAME:
            cell = row.cells[cell.text]
        return cell.estimate if cell and cell.kind == MEASURED else None

    def fact(self, key, label):
        """A fact of a column's container, or of the mode that stands for it; None when unknown."""
        column = self.column(label)
        if key in column.facts:
            return column.facts[key]
        for other in self.columns:
            if other.result is column.result and key in other.facts and \
                    other.runtime["family"] == column.runtime["family"] and other.runtime["mode"]:
                return other.facts[key]
        return None

    def failures(self):
        """[(label, title, reason)] of what failed or is lacking, one line for each reason."""
        found = {}
        for _, _, rows in self.groups:
            for row in rows:
                for label, cell in row.cells.items():
                    if cell.kind in (FAILED, LACKS):
                        found.setdefault((label, cell.text), []).append(row.metric.title)
        return [(label, titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more",
                 reason) for (label, reason), titles in found.items()]

    def fact_rows(self):
        """[(title, {label: text})] of the isolation's facts."""
        rows = []
        for key, (title, _) in metrics.FACTS.items():
            values = {column.label: fact_text(self.fact(key, column.label)) for column in self.columns}
            if any(value != "–" for value in values.values()):
                rows.append((title, values))
        return rows


def fact_text(value):
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
