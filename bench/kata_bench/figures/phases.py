# SPDX-License-Identifier: Apache-2.0
"""Where the time of starts goes, as the shim's log tells it."""

import re
import statistics

PHASES = re.compile(r'msg="(machine booted|network changed|container created|container started)"'
                    r'.*?phases="?([^"]*)"? ')
PHASE = re.compile(r"(\w+)=([\d.]+)ms")


def phases_of(log, name):
    """{phase: ms} of one container, from the shim's log lines in containerd's log."""
    found = {}
    for line in log.splitlines():
        if f"sandbox={name} " in line:
            match = PHASES.search(line)
            if match:
                found.update({phase: float(ms) for phase, ms in PHASE.findall(match[2])})
    return found


def medians(rows):
    """{phase: median ms} of phases_of's for several starts."""
    return {phase: round(statistics.median(row.get(phase, 0) for row in rows), 1)
            for phase in (rows[0] if rows else {})}
