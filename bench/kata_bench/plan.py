# SPDX-License-Identifier: Apache-2.0
"""How much is measured: seconds, rounds and sizes of a quick and of a whole run."""

from dataclasses import asdict, dataclass, field

from . import metrics

# Shares of the time; what a group does not use, those after it get.
SHARES = {"start": 26, "exec": 5, "syscall": 10, "cpu": 8, "io": 34, "files": 6, "network": 14,
          "memory": 14, "isolation": 3}
QUICK_SECONDS, SECONDS = 100, 800


@dataclass
class Plan:
    quick: bool = False
    groups: list = field(default_factory=lambda: list(metrics.GROUPS))
    seconds: float = SECONDS
    rounds: int = 0  # 0: as the kind of run says
    seed: int = 1

    def __post_init__(self):
        self._left, self._shares = self.seconds, {group: SHARES[group] for group in self.groups}

    def seconds_of(self, group):
        """The group's part of the time that is left."""
        return self._left * SHARES[group] / sum(self._shares.values())

    def end_setup(self, used):
        """Starting daemons and trying the runtimes out has taken `used` seconds."""
        self._left = max(1.0, self._left - used)

    def end_group(self, group, used):
        self._left = max(0.0, self._left - used)
        del self._shares[group]
        if not self._shares:
            self._shares = {"": 1}

    def pick(self, quick, whole):
        return quick if self.quick else whole

    def count(self, quick, whole):
        """Rounds of something: the option's, else one of the two."""
        return self.rounds or self.pick(quick, whole)

    def to_json(self):
        return asdict(self)


def groups_of(text):
    """The groups of --only, in the order in which they run; ValueError names a wrong word."""
    wanted = set()
    for word in text.split(","):
        word = metrics.ALIASES.get(word.strip(), word.strip())
        if word not in metrics.GROUPS:
            raise ValueError(f'"{word}" is no group: choose of {", ".join(metrics.GROUPS)}')
        wanted.add(word)
    return [group for group in metrics.GROUPS if group in wanted]
