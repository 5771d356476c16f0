# SPDX-License-Identifier: Apache-2.0
"""A program that does not exist, with one of each thing that a help can say."""

from words.tree import Command, Option

FOOTER = """
Examples:
  boat check         can it swim
  boat run --json x  for programs

Environment:
  BOAT_COLOUR   what colour
"""


def tree():
    return Command(name="boat", summary="Moves things over water", footer=FOOTER, options=[
        Option(["--root"], "DIR", help="directory of all", default="/run/boat"),
        Option(["--log-level", "-l"], "LEVEL", ["debug", "warn"], "how much"),
        Option(["--quiet"], help="say nothing"),
    ], commands=[
        Command(name="check", summary="tell whether it swims", aliases=["boat-check"],
                footer="Prints a line\nfor each plank.\nExit status: 0 when it swims.\n",
                options=[Option(["--json"], help="print JSON: [all] of it's \\parts"),
                         Option(["--bundle", "-b"], "DIR", help="where")]),
        Command(name="exec", summary="run one more", words="CONTAINER COMMAND [ARGUMENT...]",
                words_end_options=True, options=[Option(["--env", "-e"], "NAME=VALUE", help="may be repeated")]),
        Command(name="kill", summary="send a signal", words="CONTAINER [SIGNAL]"),
        Command(name="filter", summary="read or write", words="get|set CONTAINER [FILE]"),
        Command(name="fleet", summary="several boats", commands=[
            Command(name="make", summary="make one", options=[Option(["--count"], "N", help="how many")]),
            Command(name="sink", summary="sink one", words="CONTAINER"),
        ]),
    ])
