"""Maximum and median reward of N sampled answers as a function of N (paper Figure 7)."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import fmean

from modeling.core import reporting


class Curve:
    """Expected maximum and median reward of N answers, N = 1 … K, mean over prompts (Figure 7), prompt after prompt.

    The expectation is exact over all subsets of size N, so one draw of K answers gives the whole curve without sampling
    noise between values of N.
    """

    def __init__(self) -> None:
        self.prompts, self.sums = 0, []  # over prompts: of their lowest rewards, of their second lowest, …

    def add(self, rewards: Sequence[float]) -> None:
        """The K rewards of a prompt. Raises ValueError if the first prompt had another number of them."""
        self.sums = self.sums or [Fraction()] * len(rewards)
        self.prompts += 1
        # Fractions add without rounding: the mean is that of all rewards at once.
        self.sums = [total + Fraction(reward) for total, reward in zip(self.sums, sorted(rewards), strict=True)]

    def points(self) -> list[dict]:
        """Rows of n, max and median."""
        # The statistics are linear in the sorted rewards, so averaging over prompts first gives the same result.
        mean = [float(total) / self.prompts for total in self.sums]
        count, points = len(mean), []
        for size in range(1, count + 1):
            middle = {(size + 1) // 2, size // 2 + 1}  # one rank for odd sizes, two for even ones
            points.append(
                {
                    "n": size,
                    "max": round(order_statistic(mean, size, size), 6),
                    "median": round(fmean(order_statistic(mean, size, place) for place in sorted(middle)), 6),
                }
            )
        return points


def curve(groups: Iterable[Sequence[float]]) -> list[dict]:
    """The points of a curve over the K rewards of each prompt."""
    whole = Curve()
    for rewards in groups:
        whole.add(rewards)
    return whole.points()


def order_statistic(ascending: Sequence[float], size: int, place: int) -> float:
    """Mean of the place-th smallest (from 1) over all subsets of `size` of the values.

    The i-th smallest of K values has that rank in C(i-1, place-1) · C(K-i, size-place) of the C(K, size) subsets.
    """
    total = len(ascending)
    return sum(
        value * math.comb(index, place - 1) * math.comb(total - index - 1, size - place)
        for index, value in enumerate(ascending)
    ) / math.comb(total, size)


def plot(path: Path, points: list[dict]) -> None:
    """Maximum and median reward over N (Figure 7)."""
    title = "Maximum and median reward of N answers"
    figure, axes = reporting.diagram(title, "N, answers a prompt", "reward, mean over prompts")
    sizes = [point["n"] for point in points]
    for name, colour in (("max", "#1f4e79"), ("median", "#d9822b")):
        values = [point[name] for point in points]
        axes.plot(sizes, values, color=colour, linewidth=1.8, marker="o", markersize=3)
        axes.annotate(name, (sizes[-1], values[-1]), (6, -3), textcoords="offset points", color=colour)
    axes.margins(x=0.1)
    reporting.save_figure(figure, path)
