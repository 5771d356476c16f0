# SPDX-License-Identifier: Apache-2.0
"""Manual pages: one a program, and where a program has many commands one for each of them."""

from . import roff
from .tree import read_footer

MANUAL = "kata-cpp"


def _sentence(text):
    text = text.strip()
    if not text:
        return ""
    # A first word that is a file or a number of something stays as it is.
    if text.split()[0].strip(",;:").isalpha():
        text = text[:1].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", ":")) else ".")


def _whatis(text):
    text = text.strip().rstrip(".")
    # A capital stays where the word is a name.
    return text if text[:2].isupper() or text.startswith("Open Container") else text[:1].lower() + text[1:]


def _names(option):
    value = f" {roff.placeholders(option.value)}" if option.takes_value else ""
    return ", ".join(f"\\fB{roff.escape(name)}\\fR" for name in option.names) + value


def _option_text(option):
    text = option.help
    missing = [choice for choice in option.choices if choice not in text and choice not in option.value]
    if missing:
        text += f" ({', '.join(option.choices)})"
    if option.default and option.default not in text:
        text += f" [{option.default}]"
    return _sentence(text)


def _options(page, command):
    for option in command.options:
        page.item(_names(option), _option_text(option))


def _synopsis(page, words, command, has_globals):
    page.heading("SYNOPSIS")
    for n, line in enumerate(command.words.splitlines() or [""]):
        head = f"\\fB{roff.escape(words[0])}\\fR"
        if has_globals:
            head += " [\\fIglobal options\\fR]"
        head += "".join(f" \\fB{roff.escape(word)}\\fR" for word in words[1:])
        # A usage text names its options itself.
        if command.options and "\n" not in command.words:
            head += " [\\fIoptions\\fR]"
        if command.commands and not line:
            head += " \\fICOMMAND\\fR"
        if n:
            page.text(".br")
        page.flow(f"{head} {roff.placeholders(line)}".rstrip())


def _reference(page):
    name, section = page
    return f"\\fB{roff.escape(name)}\\fR({section})"


class Manual:
    """The pages of one program.

    extra       its table in pages.toml: what a help has no place for
    per_command  each command has a page of its own
    """

    def __init__(self, tree, extra, date, version):
        self.tree, self.extra, self.date, self.version = tree, extra, date, version
        self.section = extra["section"]
        self.per_command = extra.get("page_per_command", False)

    def _page_name(self, command):
        return f"{self.tree.name}-{command.name}"

    def _start(self, name, summary):
        page = roff.Page(name, self.section, self.date, f"{MANUAL} {self.version}", f"{MANUAL} manual")
        page.heading("NAME")
        page.flow(f"{roff.escape(name)} \\- {roff.escape(_whatis(summary))}")
        return page

    def _end(self, page, footer, extra, see_also):
        if footer.examples:
            page.heading("EXAMPLES")
            for command, comment in footer.examples:
                page.item(f"\\fB{roff.escape(command)}\\fR", _sentence(comment) if comment else "")
        status = extra.get("exit_status") or self.extra.get("exit_status", [])
        if extra is not self.extra and not extra.get("exit_status"):
            status = self.extra.get("command_exit_status", status)
        if status or footer.exit_status:
            page.heading("EXIT STATUS")
            if footer.exit_status:
                page.paragraph(_sentence(footer.exit_status))
            else:
                for code, text in status:
                    page.item(f"\\fB{code}\\fR", _sentence(text))
        files = extra.get("files", self.extra.get("files", []))
        if files:
            page.heading("FILES")
            for path, text in files:
                page.item(f"\\fI{roff.escape(path)}\\fR", _sentence(text))
        environment = footer.environment or self._environment()
        if environment:
            page.heading("ENVIRONMENT")
            for name, text in environment:
                page.item(f"\\fB{roff.escape(name)}\\fR", _sentence(text))
        page.heading("SEE ALSO")
        page.text(",\n".join(_reference(each) for each in see_also))

    def _environment(self):
        return read_footer(self.tree.footer).environment or self.extra.get("environment", [])

    def _see_also(self, own):
        pages = [tuple(each) for each in self.extra.get("see_also", [])]
        if own != self.tree.name:
            pages.insert(0, (self.tree.name, self.section))
        return pages

    def _below(self, page, commands, path):
        """Commands that have no page of their own."""
        for command in commands:
            page.subheading(" ".join((*path, command.name, *command.words.split("\n")[:1])).strip())
            page.paragraph(_sentence(command.summary))
            for paragraph in read_footer(command.footer).prose:
                page.paragraph(paragraph)
            _options(page, command)

    def _program_page(self):
        tree, footer = self.tree, read_footer(self.tree.footer)
        page = self._start(tree.name, self.extra.get("whatis", tree.summary))
        _synopsis(page, [tree.name], tree, False)
        page.heading("DESCRIPTION")
        for paragraph in [_sentence(tree.summary), *self.extra.get("description", []), *footer.prose]:
            page.paragraph(paragraph)
        if tree.commands:
            page.heading("COMMANDS")
            if self.per_command:
                for command in tree.commands:
                    page.item(_reference((self._page_name(command), self.section)),
                              _sentence(command.summary))
            else:
                for command in tree.commands:
                    page.item(f"\\fB{roff.escape(command.name)}\\fR", _sentence(command.summary))
        page.heading("OPTIONS")
        _options(page, tree)
        footer.examples += [tuple(each) for each in self.extra.get("examples", [])]
        see_also = self._see_also(tree.name)
        if self.per_command:
            see_also = [(self._page_name(each), self.section) for each in tree.commands] + see_also
        self._end(page, footer, self.extra, see_also)
        return page

    def _command_page(self, command):
        extra = self.extra.get("commands", {}).get(command.name, {})
        name, footer = self._page_name(command), read_footer(command.footer)
        page = self._start(name, command.summary)
        _synopsis(page, [self.tree.name, command.name], command, True)
        page.heading("DESCRIPTION")
        for paragraph in [_sentence(command.summary), *footer.prose, *extra.get("description", [])]:
            page.paragraph(paragraph)
        if command.aliases:
            page.paragraph("Also known as " + ", ".join(f"`{alias}`" for alias in command.aliases) + ".")
        if command.commands:
            page.heading("COMMANDS")
            self._below(page, command.commands, ())
            for below in command.commands:
                known = [example for example, _ in footer.examples]
                footer.examples += [each for each in read_footer(below.footer).examples
                                    if each[0] not in known]
        page.heading("OPTIONS")
        _options(page, command)
        page.paragraph(f"`{self.tree.name}`({self.section}) tells the options in front of the command.")
        self._end(page, footer, extra, self._see_also(name))
        return page

    def pages(self):
        """{file name: text}"""
        found = {f"{self.tree.name}.{self.section}": str(self._program_page())}
        if self.per_command:
            for command in self.tree.commands:
                found[f"{self._page_name(command)}.{self.section}"] = str(self._command_page(command))
        return found
