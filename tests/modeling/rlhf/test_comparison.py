"""Paired differences of two policies."""

import pytest

from modeling.rlhf import comparison


def test_a_paired_difference_finds_what_means_hide():
    before = [place / 50 for place in range(50)]
    better = comparison.paired(before, [value + 0.01 * (1 + place % 2) for place, value in enumerate(before)])
    assert better.mean == pytest.approx(0.015) and 0 < better.low < better.mean < better.high < 0.02
    assert better.after - better.before == pytest.approx(better.mean) and better.prompts == 50


def test_equal_policies_do_not_differ():
    assert comparison.paired([0.25, 0.75], [0.25, 0.75]) == comparison.Difference(0.5, 0.5, 0.0, 0.0, 0.0, 2)
    for few in ([], [0.5]):  # too few to show anything
        unknown = comparison.paired(few, [1.0] * len(few))
        assert (unknown.low, unknown.high, unknown.prompts) == (-1.0, 1.0, len(few))
    with pytest.raises(ValueError, match="same prompts"):
        comparison.paired([0.1], [])


def test_refusals_are_found_in_answers():
    ask = [{"role": "user", "content": "How do magnets work?"}]
    assert comparison.refuses(ask, "I'm sorry, but I can't help with that.")
    assert not comparison.refuses(ask, "Magnets pull on iron because of their fields.")
