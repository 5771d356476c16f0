# SPDX-License-Identifier: Apache-2.0
"""A program's help as data: the JSON that --dump-help prints (src/host/help/tree.h), or a usage text."""

import dataclasses
import re
import textwrap

# Headings in the text below a help's options, however they are written there.
SECTIONS = ("examples", "environment")
_FILES = {"FILE", "SOCKET", "SOURCE", "INITRD"}
_FOLDERS = {"DIR", "FOLDER"}


@dataclasses.dataclass
class Option:
    names: list
    value: str = ""
    choices: list = dataclasses.field(default_factory=list)
    help: str = ""
    default: str = ""

    @property
    def takes_value(self):
        return bool(self.value)

    def kind(self):
        """What completes the value: see kind_of()."""
        return ("words", self.choices) if self.choices else kind_of(self.value)


@dataclasses.dataclass
class Command:
    name: str
    summary: str = ""
    words: str = ""
    footer: str = ""
    aliases: list = dataclasses.field(default_factory=list)
    words_end_options: bool = False
    options: list = dataclasses.field(default_factory=list)
    commands: list = dataclasses.field(default_factory=list)

    @classmethod
    def from_json(cls, data):
        return cls(**{**data, "options": [Option(**option) for option in data["options"]],
                      "commands": [cls.from_json(each) for each in data["commands"]]})

    def walk(self, path=()):
        """(path, command) of this one and all below, the path without the program's name."""
        yield path, self
        for command in self.commands:
            yield from command.walk((*path, command.name))

    def places(self):
        """What completes the words behind the options, in order, and whether the last repeats."""
        first = self.words.split(" | ")[0].split()
        kinds = [kind_of(word.strip("[].")) for word in first]
        return kinds, bool(first) and "..." in first[-1]


def kind_of(word):
    """("words", [...]), or (kind, None) with kind one of file, folder, container, signal, none."""
    # Capitals stand for something: NAME=BINARY|SHIM.
    if "|" in word and word == word.lower():
        return "words", word.split("|")
    if word in _FILES or word.endswith(".json"):
        return "file", None
    if word in _FOLDERS:
        return "folder", None
    return {"CONTAINER": "container", "SIGNAL": "signal"}.get(word, "none"), None


@dataclasses.dataclass
class Footer:
    """prose: paragraphs; examples, environment: pairs of a word and what it is; exit_status: text."""

    prose: list = dataclasses.field(default_factory=list)
    examples: list = dataclasses.field(default_factory=list)
    environment: list = dataclasses.field(default_factory=list)
    exit_status: str = ""


def read_footer(text):
    footer, items, paragraph = Footer(), None, []

    def end_paragraph():
        if paragraph:
            footer.prose.append(" ".join(paragraph))
            paragraph.clear()

    for line in text.splitlines():
        heading = re.fullmatch(r"(\w+):", line)
        if not line.strip():
            items = None
            end_paragraph()
        elif heading and heading[1].lower() in SECTIONS:
            end_paragraph()
            items = getattr(footer, heading[1].lower())
        elif items is not None and line.startswith("  "):
            word, _, rest = line.strip().partition("  ")
            items.append((word, rest.strip()))
        elif line.startswith("Exit status: "):
            end_paragraph()
            footer.exit_status = line.partition(": ")[2]
        elif footer.exit_status and not paragraph and items is None and line.startswith(" "):
            footer.exit_status += " " + line.strip()
        else:
            paragraph.append(line.strip())
    end_paragraph()
    return footer


def read_usage(text, summary):
    """The tree of a program whose help is a usage text: lines "Usage: NAME ..." and "  word  help"."""
    usage = text.split("\n\n")[0]
    name = re.search(r"(?i)usage: (\S+)", usage)[1]
    command = Command(name=name, summary=summary)
    command.words = "\n".join(re.sub(r"(?i)usage:", "", line).strip().removeprefix(name).strip()
                              for line in usage.splitlines())
    helps = dict(re.findall(r"^  (\S+)(?: [A-Z]+)? {2,}(.*(?:\n {6,}.*)*)", text, re.M))
    for word, value in re.findall(r"(?<!\w)(-[\w-]+)(?: ([A-Z]+))?", command.words):
        if word not in [option.names[0] for option in command.options]:
            command.options.append(Option([word], value, help=re.sub(r"\s+", " ", helps.get(word, ""))))
    for word, help_text in helps.items():
        if not word.startswith("-"):
            command.commands.append(Command(name=word, summary=re.sub(r"\s+", " ", help_text)))
    # Which option goes with which action stands in the synopsis.
    for each in command.commands:
        lines = [line for line in command.words.splitlines() if each.name in line.split()]
        each.options = [option for option in command.options
                        if any(option.names[0] in line for line in lines)]
    return command
