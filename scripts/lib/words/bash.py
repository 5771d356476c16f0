# SPDX-License-Identifier: Apache-2.0
"""Completion for bash: one file a program, which needs nothing but bash."""

import shlex

ENGINE = r"""
# What completes one word: "words A B ...", "file", "folder", "container", "signal" or "none".
__NAME___complete() {
    local kind=$1 cur=$2 root=$3
    shift 3
    case $kind in
        words) mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur") ;;
        file)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            compopt -o filenames 2>/dev/null
            ;;
        folder)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            compopt -o filenames 2>/dev/null
            ;;
        container)
            mapfile -t COMPREPLY < <(compgen -W "$("$__NAME___program" ${root:+--root "$root"} list -q \
                2>/dev/null </dev/null)" -- "$cur")
            ;;
        signal)
            mapfile -t COMPREPLY < <(compgen -W "$(compgen -A signal SIG) $(compgen -A signal SIG |
                sed s/^SIG//)" -- "$cur")
            ;;
    esac
    return 0
}

__NAME__() {
    local cur=${COMP_WORDS[COMP_CWORD]} __NAME___program=${COMP_WORDS[0]}
    local path='' takes='' root='' place=0 ended='' kind word i
    COMPREPLY=()
    # Typed, not run: the tilde is still one.
    [[ $__NAME___program != \~/* ]] || __NAME___program=$HOME${__NAME___program:1}
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $takes ]]; then
            # Bash makes three words of --name=value.
            [[ $word != = ]] || continue
            [[ $takes != --root ]] || root=$word
            takes=''
        elif [[ -n $ended ]]; then
            place=$((place + 1))
        elif [[ $word == -- ]]; then
            ended=1
        elif [[ $word == -?* ]]; then
            kind=$(__NAME___value "$path" "$word")
            [[ -z $kind ]] || takes=$word
        elif [[ " $(__NAME___commands "$path") " == *" $word "* ]]; then
            path+=${path:+ }$word
        else
            place=$((place + 1))
            [[ -z $(__NAME___words_end_options "$path") ]] || ended=1
        fi
    done
    if [[ -n $takes ]]; then
        [[ $cur != = ]] || cur=''
        kind=$(__NAME___value "$path" "$takes")
        # shellcheck disable=SC2086
        __NAME___complete "${kind%% *}" "$cur" "$root" ${kind#* }
        return 0
    fi
    if [[ -z $ended && $cur == -* ]]; then
        __NAME___complete words "$cur" "$root" "$(__NAME___options "$path")"
        return 0
    fi
    word=$(__NAME___commands "$path")
    if [[ -n $word && $place -eq 0 ]]; then
        __NAME___complete words "$cur" "$root" "$word"
        return 0
    fi
    kind=$(__NAME___place "$path" "$place")
    # shellcheck disable=SC2086
    __NAME___complete "${kind%% *}" "$cur" "$root" ${kind#* }
}
"""


def _kind(kind):
    name, choices = kind
    return f"words {' '.join(choices)}" if name == "words" else name


def _case(function, patterns, comment):
    """A function that prints the word belonging to its arguments, joined by a bar."""
    lines = [f"# {comment}", f"{function}() {{", '    case "$1|${2-}" in']
    for pattern, text in patterns:
        lines.append(f"        {pattern}) printf '%s' {shlex.quote(text)} ;;")
    return "\n".join([*lines, "    esac", "}"])


def _at(path, rest=""):
    return shlex.quote(f"{' '.join(path)}|{rest}")


def render(tree):
    name = "_" + tree.name.replace("-", "_")
    commands, options, values, places, ends = [], [], [], [], []
    for path, command in tree.walk():
        at = _at(path)
        if command.commands:
            commands.append((at, " ".join(each.name for each in command.commands)))
        options.append((at, " ".join(n for option in command.options for n in option.names)))
        by_kind = {}
        for option in command.options:
            if option.takes_value:
                by_kind.setdefault(_kind(option.kind()), []).extend(option.names)
        for kind, names in by_kind.items():
            values.append((" | ".join(_at(path, each) for each in names), kind))
        kinds, repeats = command.places()
        for n, kind in enumerate(kinds):
            last = repeats and n == len(kinds) - 1
            if kind[0] != "none":
                places.append((f"{at}*" if last else _at(path, n), _kind(kind)))
        if command.words_end_options:
            ends.append((at, "yes"))
    parts = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# shellcheck shell=bash",
        f"# Completion of {tree.name} for bash. Made by scripts/generate-help.",
        "",
        _case(f"{name}_commands", commands, "The commands below a command."),
        _case(f"{name}_options", options, "The options of a command."),
        _case(f"{name}_value", values, "What an option takes; nothing for those without a value."),
        _case(f"{name}_place", places, "What the word at a place behind the command is."),
        _case(f"{name}_words_end_options", ends, "Whether the first word ends the options."),
        ENGINE.replace("__NAME__", name).strip("\n"),
        "",
        f"complete -F {name} {tree.name}",
    ]
    return "\n".join(parts) + "\n"
