# SPDX-License-Identifier: Apache-2.0
"""What --help says, as data, for manual pages and completions: the form of src/host/help/tree.h."""

import argparse


def _option(action, program):
    value, choices = "", []
    if action.nargs != 0:
        choices = [str(choice) for choice in action.choices or ()]
        value = action.metavar or ("WORD" if choices else action.dest.upper())
    names = sorted(action.option_strings, key=lambda name: not name.startswith("--"))
    text = (action.help or "") % {**vars(action), "prog": program}
    return {"names": names, "value": value, "choices": choices, "help": text, "default": ""}


def _word(action):
    word = action.metavar or action.dest.upper()
    return {"*": f"[{word}...]", "+": f"{word}...", "?": f"[{word}]"}.get(action.nargs, word)


def read(parser, summary=""):
    """The parser with all below it."""
    tree = {"name": parser.prog.split()[-1], "aliases": [], "summary": summary or parser.description,
            "words": "", "footer": parser.epilog or "", "words_end_options": False,
            "options": [], "commands": []}
    if summary:
        tree["footer"] = f"{parser.description}\n\n{tree['footer']}"
    words = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            tree["commands"] = [read(below, helps[name]) for name, below in action.choices.items()]
        elif action.option_strings:
            tree["options"].append(_option(action, parser.prog))
        else:
            words.append(_word(action))
    tree["words"] = " ".join(words)
    return tree
