# SPDX-License-Identifier: Apache-2.0
"""Reports: golden files of a made-up result, and what must hold for any.

KATA_UPDATE_GOLDEN=1 writes the golden files anew.
"""

import html.parser
import os
import re
import unittest

from . import ROOT, made_up
from kata_bench import decide
from kata_bench.report import html as page, markdown, model, svg, table

GOLDEN = f"{os.path.dirname(os.path.abspath(__file__))}/golden"
RULES = decide.load(f"{ROOT}/bench/rules.toml")


def made(*results):
    found = model.Model(list(results) or [made_up.result()])
    return found, decide.decide(found, RULES)


class Golden(unittest.TestCase):
    maxDiff = None

    def check(self, name, content):
        path = f"{GOLDEN}/{name}"
        if os.environ.get("KATA_UPDATE_GOLDEN"):
            with open(path, "w") as file:
                file.write(content)
        with open(path) as file:
            self.assertEqual(file.read(), content)

    def test_markdown_is_as_it_was(self):
        self.check("report.md", markdown.render(*made()))

    def test_charts_are_as_they_were(self):
        found, _ = made()
        rows = {row.metric.id: row for _, _, some in found.groups for row in some}
        charts = [page._chart(found, rows[name]) for name in
                  ("start.run", "exec.true", "memory.idle", "io.block.seqread")]
        self.check("charts.html", "\n".join(charts) + "\n")

    def test_terminal_table_is_as_it_was(self):
        self.check("table.txt", table.render(made_up.result()) + "\n")


class Balance(html.parser.HTMLParser):
    """Checks that what is opened is closed, and collects texts and references."""

    VOID = {"meta", "br", "rect", "path", "circle"}

    def __init__(self):
        super().__init__()
        self.stack, self.references, self.wrong = [], [], []

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(tag)


class Page(unittest.TestCase):
    def setUp(self):
        self.page = page.render(*made())

    def test_is_well_formed_and_needs_no_network(self):
        parser = Balance()
        parser.feed(self.page)
        self.assertEqual((parser.stack, parser.wrong), ([], []))
        self.assertTrue(all(value.startswith(("data:", "#")) for value in parser.references))
        self.assertNotRegex(self.page.replace("http://www.w3.org/2000/svg", ""), r"https?://|@import|url\(")

    def test_marks_emulated_machines_in_every_chart_and_head(self):
        for chart in re.findall(r"<svg.*?</svg>", self.page):
            for label in re.findall(r">(kata \([a-z]+\)[^<]*)<", chart):
                self.assertIn(model.EMULATED, label)
        for head in re.findall(r"<th>(kata.*?)</th>", self.page):
            self.assertIn(model.EMULATED, head)

    def test_escapes_what_runtimes_say(self):
        self.assertIn("no | such &lt;device&gt;", self.page)
        self.assertNotIn("<device>", self.page)

    def test_has_raw_numbers_for_download(self):
        self.assertRegex(self.page, r'download="kata-bench-1.json" href="data:application/json;base64,')
        found, _ = made()
        lines = page.as_csv(found).splitlines()
        self.assertEqual(lines[0], "metric,unit,runtime,accelerator,sample")
        self.assertEqual(sum("exec.true,ms,runc,none," in line for line in lines), 40)


class Cells(unittest.TestCase):
    def test_say_which_mode_stands_for_another(self):
        found, _ = made()
        cell = found.row("exec.true").cells["kata (cold)"]
        self.assertEqual((cell.kind, cell.short), (model.SAME, "as kata (template)"))
        self.assertEqual(found.measured("exec.true", "kata (cold)").n, 40)

    def test_tell_failures_and_what_is_lacking(self):
        found, _ = made()
        cells = found.row("io.block.seqread").cells
        self.assertEqual(cells["runsc"].kind, model.LACKS)
        self.assertEqual(cells["kata (template)"].kind, model.FAILED)
        self.assertEqual(len(found.failures()), 2)

    def test_best_is_the_lowest_or_highest(self):
        found, _ = made()
        self.assertEqual(found.row("start.run").best(), "runc")
        self.assertEqual(found.row("exec.true").best(), "kata (template)")

    def test_columns_of_two_results_are_told_apart(self):
        found, _ = made(made_up.result(), made_up.result(via="docker"))
        labels = [column.label for column in found.columns]
        self.assertIn("runc via oci", labels)
        self.assertIn("runc via docker", labels)
        self.assertEqual(len(set(labels)), 8)


class Numbers(unittest.TestCase):
    def test_have_three_digits_that_mean_something(self):
        for value, text in ((0, "0"), (0.0012345, "0.00123"), (0.30912, "0.309"), (12.345, "12.3"),
                            (5, "5"), (123.4, "123"), (1234567, "1 230 000"), (99.96, "100.0"),
                            (463.0, "463")):
            self.assertEqual(model.significant(value), text)


class Charts(unittest.TestCase):
    def test_bars_grow_with_values_and_stay_inside(self):
        text = svg.bars("t", [svg.Bar("a", 1, 0.9, 1.1), svg.Bar("b", 2, 1.8, 2.2)], "ms")
        widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', text)]
        self.assertAlmostEqual(widths[1], 2 * widths[0], delta=0.2)
        self.assertLess(max(widths) + svg.LEFT, svg.RIGHT + 0.1)

    def test_labels_of_a_row_do_not_meet(self):
        # 12 pixel wide letters would be wider than any that are used.
        for label in ("kata (template) · emulated VM",):
            self.assertLess(len(label) * 6.4 + len("123 ms, 99 %: 1 234") * 6.4, svg.WIDTH - 8)

    def test_ticks_are_few_round_numbers(self):
        self.assertEqual(svg.ticks(0.9, 11), [1, 2, 5, 10])
        self.assertEqual(svg.ticks(3, 4), [3, 4])
        self.assertLessEqual(len(svg.ticks(0.1, 100000)), 7)


if __name__ == "__main__":
    unittest.main()
