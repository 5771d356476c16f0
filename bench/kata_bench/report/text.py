# SPDX-License-Identifier: Apache-2.0
"""Sentences that every report has: what was measured, where, how noisily, and on what."""

from .. import machine, noise, stats
from . import model

INTERVAL = (f"Values are medians; behind them stand {stats.LEVEL * 100:.0f} % bootstrap intervals of the "
            "median and the number of samples.")


def accelerators(found):
    """A warning about emulated VMs; empty where there is none."""
    labels = [column.label for column in found.columns if column.is_emulated]
    if not labels:
        return ""
    return (f"{', '.join(labels)}: the virtual machines were EMULATED by QEMU's TCG, since this machine has "
            "no usable hardware virtualization. They compute about ten times slower than their host. These "
            "are no figures of a machine with KVM, and must not be taken for such.")


def via(result):
    return {"oci": "the OCI command lines", "ctr": "containerd and its ctr",
            "docker": "Docker"}[result["settings"]["via"]]


def runs(found):
    """One paragraph for each result."""
    lines = []
    for result in found.results:
        kind = "quick run" if result["settings"]["quick"] else "whole run"
        word, sentence = noise.verdict(result["noise"])
        whole = "" if result["complete"] else f" NOT COMPLETE: {result['ended']}."
        lines.append(f"{result['when']}, {kind} of {result['seconds']:.0f} s through {via(result)}; VMs of "
                     f"{result['settings']['memory_mib']} MiB.{whole} Machine: "
                     f"{machine.summary(result['machine'])}. It was {word}: {sentence}.")
    return lines


def versions(found):
    """[(label, what it is, version, accelerator, notes)]."""
    rows = []
    for column in found.columns:
        runtime = column.runtime
        accelerator = {"tcg": "TCG: emulated", "kvm": "KVM"}.get(runtime["accelerator"], "–")
        rows.append((column.label, runtime["kind"], runtime["version"] or "unknown", accelerator,
                     "; ".join(runtime["notes"]) or "–"))
    return rows


def absent(found):
    seen = {}
    for result in found.results:
        for item in result["absent"]:
            seen.setdefault(item["name"], item["how"])
    return list(seen.items())


def how(row, labels):
    """What a figure is: marks, command, and how many samples each runtime has."""
    counts = [f"{label} {row.cells[label].estimate.n}" for label in labels
              if row.cells[label].kind == model.MEASURED]
    notes = [f"{label}: {row.cells[label].note}" for label in labels if row.cells[label].note]
    return {"marks": row.metric.marks, "command": row.metric.command, "n": ", ".join(counts),
            "notes": "; ".join(notes)}
