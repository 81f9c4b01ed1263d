"""Intervals for the figures that evaluations report: proportions, means over prompts, and rankings."""

from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit
from scipy.stats import binom, binomtest


def wilson_interval(successes: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion, both ends in [0, 1]; (0, 1) if `total` is 0.

    Unlike p ± z·σ it stays inside [0, 1] and keeps a width at 0 % and 100 %, which are common safety figures. Raises
    ValueError unless 0 ≤ successes ≤ total.
    """
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes out of {total}: they must be between 0 and the total")
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / total
    centre = share + z * z / (2 * total)
    half = z * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    scale = 1 + z * z / total
    # At 0 and at `total` one end is exactly 0 or 1; rounding would put it a hair inside.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == total else (centre + half) / scale
    return low, high


def clustered_interval(values, clusters, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson interval of the mean of `values` (0 to 1) that come in clusters, such as the pairs of one prompt.

    The number of trials is the effective sample size of Korn and Graubard (1998): p (1 - p) divided by the variance of
    the mean between clusters, at most the number of values. If all values agree, each cluster counts once.
    Without values the interval is (0, 1).
    """
    values_N = np.asarray(values, dtype=np.float64)
    if not len(values_N):
        return 0.0, 1.0
    mean = float(values_N.mean())
    _, place_N = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(place_N.max()) + 1
    if mean in (0.0, 1.0) or count == 1:
        effective = float(count)
    else:
        residual_C = np.bincount(place_N, values_N - mean)
        variance = float((residual_C**2).sum()) * count / (count - 1) / len(values_N) ** 2
        effective = min(float(len(values_N)), mean * (1 - mean) / max(variance, 1e-12))
    return wilson_interval(mean * effective, effective, confidence)


def mean_interval(values, confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean of `values` or of paired differences, valid for few values too.

    Raises ValueError for fewer than two values, which have no spread.
    """
    values_N = np.asarray(values, dtype=np.float64)
    count = len(values_N)
    if count < 2:
        raise ValueError("The interval of a mean needs at least two values")
    half = stdtrit(count - 1, 0.5 + confidence / 2) * values_N.std(ddof=1) / count**0.5
    return float(values_N.mean() - half), float(values_N.mean() + half)


def bootstrap_interval(values, resamples: int, seed: int, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values`, one value per prompt; it resamples prompts.

    For two versions that answered the same prompts, pass the differences per prompt: the bootstrap is then paired.
    Raises ValueError if there are no values.
    """
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.ndim != 1 or len(values_N) == 0:
        raise ValueError("The bootstrap needs at least one value, in one dimension")
    generator = np.random.default_rng(seed)
    means_B = np.empty(resamples)
    step = max(1, 4_000_000 // len(values_N))  # bounds the table of drawn indices
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        means_B[start : start + rows] = values_N[generator.integers(0, len(values_N), (rows, len(values_N)))].mean(1)
    low, high = np.quantile(means_B, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def median_interval(values, confidence: float = 0.95) -> tuple[float, float]:
    """Distribution-free interval of the median: the order statistics whose ranks a fair coin falls between.

    Raises ValueError if there are no values.
    """
    values_N = np.sort(np.asarray(values, dtype=np.float64))
    count = len(values_N)
    if count == 0:
        raise ValueError("The interval of a median needs at least one value")
    rank = max(int(binom.ppf(0.5 - confidence / 2, count, 0.5)), 1)
    return float(values_N[rank - 1]), float(values_N[count - rank])


def mcnemar(first, second) -> float:
    """Exact two-sided p of McNemar's test that two paired rates are equal; `first` and `second`: a bool per prompt.

    Only prompts on which the two differ count; without any the p is 1. Raises ValueError for different lengths.
    """
    first_N, second_N = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first_N.shape != second_N.shape:
        raise ValueError(f"McNemar's test is paired, got {len(first_N)} and {len(second_N)} values")
    only_first, only_second = int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum())
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
