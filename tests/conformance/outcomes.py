# SPDX-License-Identifier: Apache-2.0
"""What each test of a foreign suite did, and the tables that say what it should do."""

import json

VERDICTS = ("pass", "skip", "fail")


class Outcome:
    """verdict is of VERDICTS; detail is the skip's reason or the failure's output."""

    def __init__(self, verdict, detail="", seconds=0.0):
        self.verdict, self.detail, self.seconds = verdict, detail, seconds


def save(path, found):
    """{test: Outcome} as JSON."""
    with open(path, "w") as file:
        json.dump({test: vars(outcome) for test, outcome in sorted(found.items())}, file, indent=1)


def load(path):
    """What save() wrote."""
    with open(path) as file:
        return {test: Outcome(**fields) for test, fields in json.load(file).items()}


def read(path):
    """{test: (verdict, reason)}; every test that is not to pass must have a reason."""
    table = {}
    with open(path) as file:
        for number, line in enumerate(file, 1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 3 or fields[1] not in VERDICTS or \
                    (fields[1] != "pass" and not fields[2]):
                raise SystemExit(f"{path}:{number}: not TEST <tab> pass|skip|fail <tab> REASON")
            table[fields[0]] = (fields[1], fields[2])
    return table


def write(path, header, table):
    with open(path, "w") as file:
        file.write("".join(f"# {line}".rstrip() + "\n" for line in header))
        for test, (verdict, reason) in table.items():
            file.write(f"{test}\t{verdict}\t{reason}\n")


def update(table, outcomes):
    """The table with the outcomes in it; reasons stay where the verdict does."""
    new = dict(table)
    for test, outcome in outcomes.items():
        old = table.get(test, ("", ""))
        reason = old[1] if old[0] == outcome.verdict else ""
        if outcome.verdict == "skip":
            reason = reason or outcome.detail or "the suite skips it"
        elif outcome.verdict == "fail":
            reason = reason or "not looked into yet"
        new[test] = (outcome.verdict, reason if outcome.verdict != "pass" else "")
    return dict(sorted(new.items()))


def surprises(table, outcomes):
    """[(test, expected, outcome)] of what did other than the table says.

    Whether a suite skips what cannot pass depends on the host: skipped is as good as failed.
    """
    expected = {test: table.get(test, ("nothing", ""))[0] for test in outcomes}
    return [(test, expected[test], outcome) for test, outcome in outcomes.items()
            if outcome.verdict != expected[test] and
            (expected[test], outcome.verdict) != ("fail", "skip")]
