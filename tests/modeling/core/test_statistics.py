"""Hand-computed figures for the intervals."""

import numpy as np
import pytest

from modeling.core.statistics import (
    bootstrap_interval,
    clustered_interval,
    mcnemar,
    mean_interval,
    median_interval,
    wilson_interval,
)


def test_wilson_matches_the_published_example():
    # Newcombe 1998, table I: 81 of 263 and 15 of 148, score method without continuity correction.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_wilson_keeps_a_width_at_the_ends_and_mirrors():
    low, high = wilson_interval(10, 10)
    assert (low, high) == pytest.approx((0.7225, 1.0), abs=5e-5)
    assert wilson_interval(0, 10) == pytest.approx((1 - high, 1 - low))
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes out of 2"):
        wilson_interval(3, 2)


def test_pairs_of_one_prompt_are_no_independent_trials():
    # Ten prompts asked four times, each always right or always wrong: ten trials. The variance between clusters has
    # C - 1 = 9 degrees of freedom, so what is left of ten is nine.
    values, prompts = [1] * 24 + [0] * 16, [place // 4 for place in range(40)]
    assert clustered_interval(values, prompts) == pytest.approx(wilson_interval(0.6 * 9, 9))
    assert clustered_interval(values, range(40)) == pytest.approx(wilson_interval(0.6 * 39, 39))
    assert clustered_interval([1] * 40, prompts) == pytest.approx(wilson_interval(10, 10))
    # As many right in each prompt: all trials count.
    assert clustered_interval([1, 0] * 20, prompts) == pytest.approx(wilson_interval(20, 40))
    assert clustered_interval([], []) == (0.0, 1.0)


def test_wilson_narrows_with_less_confidence():
    wide, narrow = wilson_interval(40, 100, 0.99), wilson_interval(40, 100, 0.8)
    assert wide[0] < narrow[0] < 0.4 < narrow[1] < wide[1]


def test_bootstrap_of_a_coin_agrees_with_theory():
    values = [1.0] * 60 + [0.0] * 40  # mean 0.6, standard error sqrt(0.24 / 100) = 0.04899
    low, high = bootstrap_interval(values, resamples=20_000, seed=1)
    assert low == pytest.approx(0.6 - 1.96 * 0.04899, abs=0.011)  # means move in steps of 0.01
    assert high == pytest.approx(0.6 + 1.96 * 0.04899, abs=0.011)
    assert bootstrap_interval(values, 500, seed=7) == bootstrap_interval(values, 500, seed=7)


def test_paired_differences_are_tighter_than_unpaired():
    generator = np.random.default_rng(0)
    prompts = generator.normal(size=200)  # what is common to both versions: how hard the prompt is
    first, second = prompts + 0.1 + generator.normal(size=200) * 0.01, prompts
    low, high = bootstrap_interval(first - second, 2000, seed=0)
    assert 0.09 < low < 0.1 < high < 0.11
    first_low, first_high = bootstrap_interval(first, 2000, seed=0)
    assert first_high - first_low > 10 * (high - low)


def test_the_interval_of_a_mean_by_hand():
    # Mean 2, deviation 1, three values: 2 ± 4.303 / √3, and at 99.9 % 2 ± 31.60 / √3.
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)
    assert mean_interval([1.0, 2.0, 3.0], 0.999)[1] == pytest.approx(2 + 18.24, abs=1e-2)
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least two"):
        mean_interval([1.0])


def test_bootstrap_of_a_constant_and_of_nothing():
    assert bootstrap_interval([2.5] * 9, 100, seed=0) == (2.5, 2.5)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([], 100, seed=0)


def test_mcnemar_by_hand():
    # Six prompts differ, all in favour of the first: 2 · (1/2)^6. Prompts on which both agree say nothing.
    first, second = [True] * 6 + [True, False] * 20, [False] * 6 + [True, False] * 20
    assert mcnemar(first, second) == mcnemar(second, first) == pytest.approx(2 / 64)
    assert mcnemar(first, first) == 1.0 and mcnemar([], []) == 1.0
    # Eight against two: 2 · (1 + 10 + 45) / 1024.
    assert mcnemar([True] * 8 + [False] * 2, [False] * 8 + [True] * 2) == pytest.approx(2 * 56 / 1024)
    with pytest.raises(ValueError, match="paired"):
        mcnemar([True], [True, False])


def test_the_interval_of_a_median_by_hand():
    # Ten values: the 2nd and the 9th, as a fair coin falls below 2 or above 8 of 10 in 2.1 % of cases (1.1 % each side).
    assert median_interval(range(1, 11)) == (2.0, 9.0)
    assert median_interval([7]) == (7.0, 7.0) and median_interval([3] * 50) == (3.0, 3.0)
    low, high = median_interval(np.random.default_rng(0).exponential(size=4000))
    assert low < np.log(2) < high and high - low < 0.1
    with pytest.raises(ValueError, match="at least one"):
        median_interval([])
