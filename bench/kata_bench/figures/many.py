# SPDX-License-Identifier: Apache-2.0
"""Many containers: idle beside each other, started at once, and one after the other for a long time.

The first two are copies of a template, as containers are that nobody has prepared for; the last come from
the service that keeps VMs warm.
"""

import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from testbed.host import HostSnapshot

from .. import processes

TIMEOUT = 300
AT_ONCE_IN_CYCLES = 2


def _dot():
    print(".", end="", file=sys.stderr, flush=True)


def _name(runtime, number):
    return f"{runtime.name}-{number}"


def remove_all(bed, label, count):
    """Removes the containers <label>-0 to <label>-<count - 1>."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: bed.remove(f"{label}-{number}"), range(count)))


def timed(function, *arguments, **options):
    """(seconds, result) of a call."""
    begin = time.monotonic()
    done = function(*arguments, **options)
    return time.monotonic() - begin, done


def _start(bed, runtime, number):
    return bed.run(_name(runtime, number), ["sleep", "100000"], "-d", timeout=TIMEOUT).code == 0


def mib_by_program(known):
    """{program: MiB (PSS)} of the processes that are not in the table `known`."""
    parts = {}
    for pid, _ in processes.table().keys() - known.keys():
        program = processes.program(pid)
        parts[program] = parts.get(program, 0) + processes.pss_kib(pid) / 1024
    return parts


def idle(bed, runtime, count):
    """Containers that are started one after the other, asked once each, and weighed together."""
    bed.runtime, known = runtime, processes.table()
    try:
        starts = []
        for number in range(count):
            seconds, started = timed(_start, bed, runtime, number)
            if not started:
                sys.exit(f"kata-bench: {_name(runtime, number)} was not started: {bed.log_tail()}")
            starts.append(seconds)
            if number % 10 == 9:
                _dot()
        processes.settle()
        memory = mib_by_program(known)
        execs = [timed(bed.exec, _name(runtime, number), ["true"], timeout=TIMEOUT)
                 for number in range(count)]
    finally:
        remove_all(bed, runtime.name, count)
    tenth = max(1, count // 10)
    return {"count": count, "all_running_s": round(sum(starts), 1),
            "first_tenth_s": round(sum(starts[:tenth]), 2),
            "last_tenth_s": round(sum(starts[-tenth:]), 2),
            "execs_answered": sum(done.code == 0 for _, done in execs),
            "exec_median_ms": round(1000 * statistics.median(seconds for seconds, _ in execs), 1),
            "pss_mib_each": round(sum(memory.values()) / count, 1),
            "pss_mib_each_by_program": {program: round(mib / count, 2) for program, mib in
                                        sorted(memory.items()) if mib / count >= 0.01}}


def at_once(bed, runtime, count):
    bed.runtime = runtime
    try:
        with ThreadPoolExecutor(count) as pool:
            seconds, started = timed(
                lambda: list(pool.map(lambda number: _start(bed, runtime, number), range(count))))
    finally:
        remove_all(bed, runtime.name, count)
    _dot()
    return {"count": count, "all_running_s": round(seconds, 1), "failed": count - sum(started)}


def _service_kib():
    return sum(processes.pss_kib(pid) for pid, _ in processes.table()
               if processes.program(pid) == "kata-factory")


def cycles(make_bed, runtime, count):
    """Containers that run and are removed, two at a time; what they fail, and what they leave.

    make_bed    makes and starts the containerd, whose runtime is kata with warm VMs
    """
    before = HostSnapshot(ignored=("/tmp/kt-",), cgroup="kt-", allowed=runtime.known_leftovers)
    bed = make_bed(runtime)
    codes, service = [], []
    try:
        idle_host = HostSnapshot(ignored=("/tmp/kt-",), cgroup="kt-", allowed=runtime.waiting)
        with ThreadPoolExecutor(AT_ONCE_IN_CYCLES) as pool:
            for begin in range(0, count, 100):
                codes += pool.map(lambda number: bed.run(
                    _name(runtime, number), ["true"], "--rm", timeout=TIMEOUT).code,
                    range(begin, min(begin + 100, count)))
                service.append(_service_kib())
                _dot()
        left = idle_host.compare([bed.pid])
        with open(bed.log, errors="replace") as file:
            log = file.read()
        bed.stop()
    finally:
        bed.destroy()
    left += before.compare()
    return {"count": count, "failed": sum(code != 0 for code in codes),
            "began_warm": log.count("from=warm"), "left": left,
            "service_pss_kib": [service[0], service[-1]]}


def measure(make_bed, kata, warm, runc, options):
    """kata and warm are the same programs, without and with warm VMs."""
    bed = make_bed(kata)
    try:
        result = {"idle": {runtime.name: idle(bed, runtime, options.containers)
                           for runtime in (kata, runc)},
                  "at_once": {runtime.name: at_once(bed, runtime, options.at_once)
                              for runtime in (kata, runc)}}
        bed.stop()
    finally:
        bed.destroy()
    result["cycles"] = cycles(make_bed, warm, options.cycles)
    print(file=sys.stderr)
    return result


def rows(result):
    """[(name, value)] for people."""
    found = []
    for name, each in result["idle"].items():
        found += [(f"{name}: {each['count']} idle containers", f"run after {each['all_running_s']} s"),
                  ("  first tenth / last tenth", f"{each['first_tenth_s']} / {each['last_tenth_s']} s"),
                  ("  an exec in each", f"{each['execs_answered']} answered, median "
                                        f"{each['exec_median_ms']} ms"),
                  ("  memory (PSS) each", f"{each['pss_mib_each']} MiB"),
                  *((f"    {program}", f"{mib} MiB")
                    for program, mib in each["pss_mib_each_by_program"].items())]
    for name, each in result["at_once"].items():
        found.append((f"{name}: {each['count']} starts at once",
                      f"all done after {each['all_running_s']} s, {each['failed']} failed"))
    each = result["cycles"]
    found += [(f"kata, warm: {each['count']} runs, {AT_ONCE_IN_CYCLES} at a time",
               f"{each['failed']} failed, {each['began_warm']} began warm"),
              ("  left on the host", "; ".join(each["left"]) or "nothing"),
              ("  memory of kata-factory (PSS), first and last", "{} and {} KiB".format(
                  *each["service_pss_kib"]))]
    return found
