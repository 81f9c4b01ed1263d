"""Means over seeds with 95 % intervals, and whether two settings differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.ablations.ablation import Figure, Records
from modeling.core.statistics import mean_interval

DIFFERS, SAME, UNKNOWN = "differs", "no difference can be seen", "one seed, so no interval"


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval (Student's t), which is None for a single value."""

    value: float
    interval: tuple[float, float] | None

    def text(self, figure: Figure, sign: str = "") -> str:
        """Returns the mean and its interval, without the interval where all values are the same."""
        ends = [figure.text(end, sign) for end in self.interval or ()]
        shown = figure.text(self.value, sign)
        return f"{shown} ({' to '.join(ends)})" if set(ends) - {shown} else shown

    @property
    def verdict(self) -> str:
        """Returns whether the mean of differences differs from 0, by its interval."""
        if self.interval is None:
            return UNKNOWN
        low, high = self.interval
        return SAME if low <= 0 <= high else DIFFERS


def mean(values: Sequence[float]) -> Mean:
    return Mean(sum(values) / len(values), mean_interval(values) if len(values) > 1 else None)


def of_setting(records: dict[int, dict], figure: Figure) -> str:
    """Returns the mean over the seeds of one setting, as text; a dash if no record has the figure."""
    values = [record["figures"][figure.name] for record in records.values() if figure.name in record["figures"]]
    return mean(values).text(figure) if values else "–"


def difference(first: dict[int, dict], other: dict[int, dict], figure: Figure) -> Mean | None:
    """Returns the mean of the differences from `first`, seed by seed; None if no common seed has the figure.

    The same seed gives both trainings the same order of data, so the pairs differ less than the seeds do.
    """
    pairs = [(first[seed]["figures"], other[seed]["figures"]) for seed in sorted(first.keys() & other.keys())]
    values = [b[figure.name] - a[figure.name] for a, b in pairs if figure.name in a and figure.name in b]
    return mean(values) if values else None


def against_the_first(figures: tuple[Figure, ...], records: Records) -> str:
    """Returns a sentence for each compared figure: whether each setting differs from the first one."""
    baseline, *others = records
    said = []
    for figure in (one for one in figures if one.compared):
        parts = []
        for other in others:
            between = difference(records[baseline], records[other], figure)
            if between is not None:
                parts.append(f"{other} against {baseline}: {between.verdict} ({between.text(figure, '+')})")
        if parts:
            said.append(f"{figure.label}: {'; '.join(parts)}.")
    return " ".join(said) or "There is nothing to compare yet."
