# SPDX-License-Identifier: Apache-2.0
"""Manual pages of a made-up program."""

import unittest

from words.man import Manual
from words.tree import read_footer, read_usage

from .made_up import FOOTER, tree
from .pages import complaints, plain

EXTRA = {"section": 8, "page_per_command": True, "whatis": "move things over water",
         "exit_status": [["0", "success"]], "files": [["/run/boat", "what it knows"]],
         "see_also": [["ship", 8]]}


def pages(**changes):
    return Manual(tree(), {**EXTRA, **changes}, "2026-11-28", "0.1.0").pages()


class Pages(unittest.TestCase):
    def test_each_command_has_a_page_where_a_program_wants_that(self):
        self.assertEqual(sorted(pages()), [
            "boat-check.8", "boat-exec.8", "boat-filter.8", "boat-fleet.8", "boat-kill.8", "boat.8"])
        self.assertEqual(sorted(pages(page_per_command=False)), ["boat.8"])

    def test_sections_are_those_of_a_manual_in_their_order(self):
        headings = [line[4:] for line in pages()["boat.8"].splitlines() if line.startswith(".SH ")]
        self.assertEqual(headings, ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXAMPLES",
                                    "EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO"])

    def test_options_have_their_names_values_choices_and_defaults(self):
        text = plain(pages()["boat.8"])
        self.assertIn("--log-level, -l LEVEL\nHow much (debug, warn).", text)
        self.assertIn("--root DIR\nDirectory of all [/run/boat].", text)

    def test_a_page_says_what_the_help_says(self):
        text = plain(pages()["boat-check.8"])
        for words in ("boat-check - tell whether it swims", "boat [global options] check [options]",
                      "Prints a line for each plank.", "0 when it swims.", "Also known as boat-check.",
                      "Print JSON: [all] of it's \\parts."):
            self.assertIn(words, text)

    def test_commands_below_a_command_are_in_its_page(self):
        text = plain(pages()["boat-fleet.8"])
        self.assertIn("sink CONTAINER", text)
        self.assertIn("--count N", text)

    def test_the_same_input_gives_the_same_bytes_and_no_date_is_no_failure(self):
        self.assertEqual(pages(), pages())
        undated = Manual(tree(), EXTRA, "", "0.1.0").pages()
        self.assertIn('.TH "BOAT" 8 "" ', undated["boat.8"])

    def test_formatters_have_nothing_to_complain_of(self):
        for name, text in pages().items():
            with self.subTest(name):
                self.assertEqual(complaints(name, text), "")


class Reading(unittest.TestCase):
    def test_a_footer_is_examples_environment_and_text(self):
        footer = read_footer(FOOTER + "\nOne\ntwo.\n\nThree.\nExit status: 0 or 1.\n")
        self.assertEqual(footer.examples, [("boat check", "can it swim"), ("boat run --json x", "for programs")])
        self.assertEqual(footer.environment, [("BOAT_COLOUR", "what colour")])
        self.assertEqual(footer.prose, ["One two.", "Three."])
        self.assertEqual(footer.exit_status, "0 or 1.")

    def test_a_usage_text_is_words_options_and_actions(self):
        command = read_usage("usage: oar -id ID [-debug] row\n       oar -v\n\nPeople do not.\n\n"
                             "  -id ID  whose\n  -debug  log more\n\n  row   row on; and\n        on\n", "be an oar")
        self.assertEqual((command.name, command.words), ("oar", "-id ID [-debug] row\n-v"))
        self.assertEqual([(o.names, o.value, o.help) for o in command.options],
                         [(["-id"], "ID", "whose"), (["-debug"], "", "log more"), (["-v"], "", "")])
        self.assertEqual([(c.name, c.summary) for c in command.commands], [("row", "row on; and on")])
        self.assertEqual([o.names for o in command.commands[0].options], [["-id"], ["-debug"]])


if __name__ == "__main__":
    unittest.main()
