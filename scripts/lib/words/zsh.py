# SPDX-License-Identifier: Apache-2.0
"""Completion for zsh: one file a program, found by its first line."""

import re
import shlex


def _plain(text):
    """Text where _arguments ends a description at a bracket and a message at a colon."""
    return re.sub(r"[\[\]:\\]", lambda found: "\\" + found[0], text)


def _label(word):
    return "one of" if "|" in word else _plain(word)


def _action(name, kind):
    what, choices = kind
    return {"words": f"({' '.join(choices or ())})", "file": "_files", "folder": "_files -/",
            "container": f"{name}_containers", "signal": "_signals"}.get(what, " ")


def _options(name, command):
    for option in command.options:
        exclusive = " ".join(option.names)
        value = f":{_label(option.value)}:{_action(name, option.kind())}" if option.takes_value else ""
        for spelling in option.names:
            equals = ""
            if option.takes_value:
                equals = "=" if spelling.startswith("--") else ""
            repeat = "*" if "repeated" in option.help else f"({exclusive})"
            yield f"{repeat}{spelling}{equals}[{_plain(option.help)}]{value}"


def _words(name, command):
    kinds, repeats = command.places()
    labels = [word.strip("[].") for word in command.words.split(" | ")[0].split()]
    for n, (label, kind) in enumerate(zip(labels, kinds)):
        last = repeats and n == len(kinds) - 1
        colon = "*:" if last else f"{n + 1}:"
        yield f"{colon}{_label(label)}:{_action(name, kind)}"


def _function(name, path, command):
    """One function for a command; those with commands below hand on to theirs."""
    function = "_".join((name, *(part.replace("-", "_") for part in path)))
    lines = [f"{function}() {{"]
    specs = [shlex.quote(spec) for spec in _options(name, command)]
    stop = "-A '-*' " if command.words_end_options else ""
    if command.commands:
        if not path:
            lines.append(f"    local {name}_program=$words[1]")
        lines.append("    local curcontext=$curcontext state line ret=1")
        lines.append("    typeset -A opt_args")
        specs += ["'1: :->command'", "'*:: :->rest'"]
        lines.append("    _arguments -C " + " \\\n        ".join(specs) + " && ret=0")
        lines.append("    case $state in")
        lines.append("        command)")
        lines.append("            local -a commands=(")
        for each in command.commands:
            lines.append(f"                {shlex.quote(f'{each.name}:{each.summary}')}")
        lines.append("            )")
        lines.append("            _describe -t commands command commands && ret=0")
        lines.append("            ;;")
        lines.append("        rest)")
        if not path:
            lines.append(f"            local {name}_root=${{opt_args[--root]:-}}")
        lines.append("            case $words[1] in")
        for each in command.commands:
            below = "_".join((function, each.name.replace("-", "_")))
            lines.append(f"                {'|'.join((each.name, *each.aliases))}) {below} && ret=0 ;;")
        lines += ["            esac", "            ;;", "    esac", "    return ret"]
    else:
        specs += [shlex.quote(spec) for spec in _words(name, command)]
        lines.append(f"    _arguments {stop}" + " \\\n        ".join(specs) if specs else "    return 1")
    return "\n".join([*lines, "}"])


def render(tree):
    name = "_" + tree.name.replace("-", "_")
    functions = [_function(name, path, command) for path, command in tree.walk()]
    containers = f"""{name}_containers() {{
    local -a ids line=(${{(q){name}_program}})
    [[ -z ${name}_root ]] || line+=(--root ${{(q){name}_root}})
    ids=(${{(f)"$(_call_program containers $line list -q 2>/dev/null)"}})
    _describe -t containers container ids
}}"""
    if f"{name}_containers" not in "".join(functions):
        containers = ""
    return "\n\n".join(filter(None, [
        f"#compdef {tree.name}\n# SPDX-License-Identifier: Apache-2.0\n"
        f"# Completion of {tree.name} for zsh. Made by scripts/generate-help.",
        containers, *reversed(functions), f'{name} "$@"'])) + "\n"
