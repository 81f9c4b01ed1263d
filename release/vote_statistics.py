"""Statistics of people's votes: Bradley-Terry strengths of versions, agreement of raters, resamples of prompts."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import expit

RESAMPLES, SEED = 1000, 1
MOST_STEPS = 200  # of Newton's method; about 10 are needed


def wins_of(won_N2: np.ndarray, size: int, weights_N: np.ndarray | None = None) -> np.ndarray:
    """How often each version was preferred to each other one (V, V). `won_N2`: preferred and other version of each vote.

    `weights_N`: how often each vote counts.
    """
    return np.bincount(won_N2 @ [size, 1], weights_N, size * size).reshape(size, size)


def prior(size: int) -> np.ndarray:
    """Wins (V, V) beside those of the votes: one more vote for each of V versions, spread over its opponents."""
    return (1 - np.eye(size)) * 0.5 / max(size - 1, 1)


def strengths(wins_VV: np.ndarray, start_V: np.ndarray | None = None) -> np.ndarray:
    """Maximum-likelihood strengths (V,) with mean 0 of P(i preferred to j) = sigmoid(s_i - s_j) (Bradley, Terry 1952).

    `wins_VV[i, j]`: how often i was preferred to j; all must be above 0 outside the diagonal, or connected both ways.
    Newton's method: MM needs thousands of steps where few votes connect two groups. A step changes no difference by more
    than 1, where the likelihood must rise: the third derivative is at most the second (Bach 2010, self-concordance).
    """
    size = len(wins_VV)
    counts_VV = wins_VV + wins_VV.T
    strengths_V = np.zeros(size) if start_V is None else start_V - start_V.mean()
    for _ in range(MOST_STEPS):
        chance_VV = expit(strengths_V[:, None] - strengths_V)
        curvature_VV = counts_VV * chance_VV * (1 - chance_VV)
        # The constant makes the matrix regular and keeps the mean.
        hessian_VV = np.diag(curvature_VV.sum(1)) - curvature_VV + 1 / size
        step_V = np.linalg.solve(hessian_VV, (wins_VV - counts_VV * chance_VV).sum(1))
        spread = np.ptp(step_V)
        strengths_V = strengths_V + step_V / max(spread, 1)
        if spread < 1e-6:
            break
    return strengths_V


def ordinal_weights(grades: int) -> np.ndarray:
    """Weights (K, K): 1 minus C(|k - l| + 1, 2) over its maximum (Gwet 2014, 3.5)."""
    apart_KK = np.abs(np.subtract.outer(np.arange(grades), np.arange(grades)))
    return 1 - apart_KK * (apart_KK + 1) / (grades * (grades - 1))


def ac2(counts_NK: np.ndarray, agree_KK: np.ndarray, weights_N: np.ndarray | None = None) -> float | None:
    """Gwet's AC2 (Gwet 2014, 5.3) of N subjects, with the number of raters per grade; None if no two judged one subject.

    Subjects with one rater count for the chance agreement only. `agree_KK`: weights of pairs of grades, of which the
    identity gives AC1. `weights_N`: how often each subject counts.
    """
    grades = counts_NK.shape[1]
    weights_N = np.ones(len(counts_NK)) if weights_N is None else weights_N
    raters_N = counts_NK.sum(1)
    several_N = weights_N * (raters_N > 1)
    if not several_N.any():
        return None
    agreed_N = (counts_NK * (counts_NK @ agree_KK - 1)).sum(1) / np.maximum(raters_N * (raters_N - 1), 1)
    observed = several_N @ agreed_N / several_N.sum()
    share_K = weights_N @ (counts_NK / raters_N[:, None]) / weights_N.sum()
    chance = agree_KK.sum() / (grades * (grades - 1)) * (share_K @ (1 - share_K))
    return float((observed - chance) / (1 - chance))


def resamples(clusters: Sequence[str]) -> Iterator[np.ndarray]:
    """How often each of N rows, of these clusters, is in each bootstrap sample of whole clusters."""
    _, place_N = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(place_N.max()) + 1
    generator = np.random.default_rng(SEED)
    for _ in range(RESAMPLES):
        yield np.bincount(generator.integers(0, count, count), minlength=count)[place_N]
