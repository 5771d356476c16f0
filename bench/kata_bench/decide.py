# SPDX-License-Identifier: Apache-2.0
"""Which runtime for which kind of workload: rules over measured figures, with reasons, and with the
conditions under which the answer would be another one."""

import math
import tomllib
from dataclasses import dataclass, field

from . import metrics
from .report.model import MEASURED, fact_text, significant


class RuleError(ValueError):
    """A file of rules with a mistake; the message says which and where."""


# Costs this many times apart are the same.
ALIKE = 1.05


@dataclass
class Candidate:
    label: str
    cost: float  # weighted geometric mean of ratios to the best; 1 is the best in everything
    shares: dict  # {metric: ratio to the best}
    missing: list  # metrics that were not measured


@dataclass
class Decision:
    """choice is None when no runtime has all that is needed."""

    id: str
    title: str
    about: str
    choice: str
    reason: str
    flips: list
    ranking: list = field(default_factory=list)
    refused: list = field(default_factory=list)  # [(label, why)]
    emulated: bool = False


def load(path):
    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise RuleError(f"--rules {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"--rules {path}: {error}") from None
    rules = data.get("class", [])
    if not rules:
        raise RuleError(f"--rules {path}: no [[class]] in it")
    for rule in rules:
        _check(path, rule)
    return rules


def _check(path, rule):
    where = f'--rules {path}: class "{rule.get("id", rule.get("title", "?"))}"'
    for key in ("id", "title", "weighs"):
        if key not in rule:
            raise RuleError(f'{where}: no "{key}"')
    for name, weight in rule["weighs"].items():
        if name not in metrics.METRICS:
            raise RuleError(f'{where}: "{name}" is no metric')
        if not isinstance(weight, (int, float)) or weight <= 0:
            raise RuleError(f'{where}: the weight of "{name}" is {weight}')
    for need in rule.get("needs", []):
        if need.get("fact") in metrics.FACTS and "is" in need:
            continue
        if need.get("metric") in metrics.METRICS and \
                any(key in need for key in ("at_most", "at_least", "at_most_times")):
            continue
        raise RuleError(f"{where}: a need has a known fact with is, or a known metric with at_most, "
                        f"at_least or at_most_times, not {need}")


def decide(model, rules):
    return [_decide(model, rule) for rule in rules]


def _labels(model):
    return [column.label for column in model.columns]


def _best(model, metric):
    row = model.row(metric)
    label = row.best() if row else None
    return row.cells[label].value if label else None


def lacks(model, need, label):
    """Why the runtime does not have what is needed; empty when it has."""
    because = need.get("because", "it is needed")
    if "fact" in need:
        value = model.fact(need["fact"], label)
        if value is None and need.get("optional"):
            return ""
        if value == need["is"]:
            return ""
        title = metrics.FACTS[need["fact"]][0]
        return (f"{title} was not established ({because})" if value is None else
                f"{title}: {fact_text(value)} ({because})")
    found = model.measured(need["metric"], label)
    metric = metrics.METRICS[need["metric"]]
    if found is None:
        return "" if need.get("optional") else f"{metric.title} was not measured ({because})"
    bound, too_much = _bound(model, need)
    if bound is None or (found.value <= bound if too_much else found.value >= bound):
        return ""
    return (f"{metric.title} is {significant(found.value)} {metric.unit}, "
            f"{'at most' if too_much else 'at least'} {significant(bound)} is needed ({because})")


def _bound(model, need):
    """(value, whether more than it is too much)."""
    if "at_most" in need:
        return need["at_most"], True
    if "at_least" in need:
        return need["at_least"], False
    best = _best(model, need["metric"])
    times = need["at_most_times"]
    if metrics.METRICS[need["metric"]].better == metrics.LOWER:
        return (best * times if best is not None else None), True
    return (best / times if best is not None else None), False


def cost(model, rule, label):
    """A Candidate; metrics that nobody has count for nobody, one that only it lacks counts as 10 times."""
    total, weights, shares, missing = 0.0, 0.0, {}, []
    for name, weight in rule["weighs"].items():
        best = _best(model, name)
        if not best:
            continue
        found = model.measured(name, label)
        if found is None or found.value <= 0:
            missing.append(name)
            ratio = 10.0
        else:
            ratio = found.value / best
            if metrics.METRICS[name].better == metrics.HIGHER:
                ratio = 1 / ratio
            shares[name] = ratio
        total += weight * math.log(ratio)
        weights += weight
    return Candidate(label, math.exp(total / weights) if weights else math.inf, shares, missing)


def _decide(model, rule):
    refused, candidates = [], []
    for label in _labels(model):
        whys = [why for need in rule.get("needs", []) if (why := lacks(model, need, label))]
        if whys:
            refused.append((label, whys[0]))
        candidate = cost(model, rule, label)
        candidates.append((candidate, whys))
    ranking = sorted((c for c, whys in candidates if not whys and c.cost < math.inf),
                     key=lambda candidate: candidate.cost)
    common = {"id": rule["id"], "title": rule["title"], "about": rule.get("about", ""),
              "ranking": ranking, "refused": refused}
    if not ranking:
        nearest = "; ".join(f"{label}: {why}" for label, why in refused) or "no figure was measured"
        return Decision(choice=None, reason=f"No runtime measured here will do: {nearest}.",
                        flips=[], **common)
    choice = ranking[0]
    emulated = model.column(choice.label).is_emulated
    return Decision(choice=choice.label, reason=_reason(model, rule, choice, ranking, refused),
                    flips=_flips(model, rule, choice, ranking, candidates), emulated=emulated,
                    **common)


def _title(name):
    return f'"{metrics.METRICS[name].title}"'


def _value(model, name, label):
    found = model.measured(name, label)
    return f"{significant(found.value)} {metrics.METRICS[name].unit}"


def _reason(model, rule, choice, ranking, refused):
    """A sentence with the figures that decided."""
    parts = []
    if rule.get("needs"):
        others = len(_labels(model)) - len(refused)
        parts.append("it has all that is needed" if others > 1 else
                     "of the runtimes measured only it has all that is needed")
    rival = _rival(model, choice, ranking)
    if rival:
        gains = sorted(((rival.shares[name] / choice.shares[name], name) for name in choice.shares
                        if name in rival.shares), reverse=True)
        said = [f"{_title(name)} {_value(model, name, choice.label)} against "
                f"{_value(model, name, rival.label)}" for gain, name in gains[:2] if gain > 1.02]
        parts.append("on the weighted mean its figures are "
                     f"{significant(choice.cost)} times the best of each, those of {rival.label} "
                     f"{significant(rival.cost)} times" + (f" ({'; '.join(said)})" if said else ""))
    elif choice.shares:
        worst = max(choice.shares, key=choice.shares.get)
        parts.append(f"its price is highest in {_title(worst)}: "
                     f"{_value(model, worst, choice.label)}, "
                     f"{choice.shares[worst]:.1f} times as bad as the best")
    return f"{choice.label}: {'; '.join(parts)}."


def _rival(model, choice, ranking):
    """The next best, if it can be of another runtime than another mode of the same; None alone."""
    family = model.column(choice.label).runtime["family"]
    others = [candidate for candidate in ranking if candidate is not choice]
    return next((candidate for candidate in others
                 if model.column(candidate.label).runtime["family"] != family),
                others[0] if others else None)


def _flips(model, rule, choice, ranking, candidates):
    """Sentences: what would have to change for another answer."""
    flips = []
    rival = _rival(model, choice, ranking)
    if rival and rival.cost < choice.cost * ALIKE:
        flips.append(f"{rival.label} differs by less than {(ALIKE - 1) * 100:.0f} %: either will do.")
    elif rival:
        weights = rule["weighs"]
        total = sum(weights[name] for name in rival.shares)
        # The figure that alone would do it with the smallest change.
        needed = {name: (rival.cost / choice.cost) ** (total / weights[name])
                  for name in rival.shares if rival.shares[name] > 1
                  and model.row(name).cells[rival.label].kind == MEASURED}
        if needed:
            name = min(needed, key=needed.get)
            factor, metric = needed[name], metrics.METRICS[name]
            now = model.measured(name, rival.label).value
            goal = now / factor if metric.better == metrics.LOWER else now * factor
            word = "fell" if metric.better == metrics.LOWER else "rose"
            if factor <= rival.shares[name] * 1.001:
                flips.append(f"{rival.label} would be recommended if {_title(name)} {word} from "
                             f"{significant(now)} to {significant(goal)} {metric.unit}.")
            else:
                flips.append(f"{rival.label} would have to become better in more than one figure, first "
                             f"in {_title(name)} ({significant(now)} {metric.unit}).")
    cheaper = [(candidate, whys) for candidate, whys in candidates
               if whys and candidate.cost < choice.cost]
    for candidate, whys in sorted(cheaper, key=lambda item: item[0].cost)[:1]:
        what = "this were not needed" if len(whys) == 1 else "none of this were needed"
        flips.append(f"{candidate.label}, which costs {choice.cost / candidate.cost:.1f} times less, would "
                     f"be recommended if {what}: {'; '.join(whys)}.")
    emulated = [column.label for column in model.columns if column.is_emulated]
    if emulated:
        flips.append("VMs were emulated here, and KVM makes them many times faster: measure again on a "
                     "machine that has it before deciding by speed.")
    return flips
