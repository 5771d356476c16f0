# SPDX-License-Identifier: Apache-2.0
"""The source of a manual page, in the macros of man(7)."""

import re
import textwrap

WIDTH = 78  # of a line in the source


def escape(text):
    """Text as it is: a hyphen that people copy stays one, and no line is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return text.replace("~", "\\(ti").replace("^", "\\(ha").replace('"', "\\(dq")


def wrap(text):
    """Lines of the source; none of them is a request."""
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [re.sub(r"^(?=[.'])", r"\\&", line) for line in lines]


def prose(text):
    """Text in which `words` between backquotes are bold."""
    parts = re.split(r"`([^`]*)`", " ".join(text.split()))
    return "".join(f"\\fB{escape(part)}\\fR" if i % 2 else escape(part) for i, part in enumerate(parts))


def placeholders(text):
    """A synopsis: CAPITALS in italics, what is typed in bold, brackets and dots as they are."""
    def mark(found):
        word = found[0]
        return f"\\fI{escape(word)}\\fR" if word.isupper() else f"\\fB{escape(word)}\\fR"
    return re.sub(r"[A-Za-z-][\w.=-]*[\w]|[A-Z]", mark, text)


class Page:
    def __init__(self, name, section, date, source, manual):
        self.lines = ['.\\" SPDX-License-Identifier: Apache-2.0',
                      '.\\" Made by scripts/generate-help.',
                      f'.TH "{escape(name.upper())}" {section} "{date}" "{source}" "{manual}"',
                      ".nh", ".ad l"]

    def heading(self, text):
        self.lines.append(f".SH {text}")

    def subheading(self, text):
        self.lines.append(f'.SS "{escape(text)}"')

    def text(self, line):
        """A line in roff's own spelling."""
        self.lines.append(line)

    def flow(self, roff):
        """Text in roff's own spelling, over as many lines as it needs."""
        self.lines += wrap(roff)

    def paragraph(self, text):
        if self.lines[-1][:3] not in (".SH", ".SS"):
            self.lines.append(".PP")
        self.flow(prose(text))

    def item(self, term, text):
        """`term` is roff already."""
        self.lines += [".TP", term, *(wrap(prose(text)) or ["\\&"])]

    def __str__(self):
        return "\n".join(self.lines) + "\n"
