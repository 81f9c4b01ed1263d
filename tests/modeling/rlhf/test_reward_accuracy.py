"""Accuracy, calibration and detection of unsafe answers, by hand."""

import math

import pytest

from modeling.rlhf import reward_accuracy
from modeling.rlhf.reward_accuracy import ScoredPair


def scored(degree, chosen, rejected, chosen_safe=True, rejected_safe=True):
    return ScoredPair(f"{chosen} {rejected}", "safety", 1, degree, chosen, rejected, chosen_safe, rejected_safe)


def test_accuracy_by_hand():
    table = reward_accuracy.by_degree([scored(3, 2, 1), scored(3, 0, 1), scored(0, 1, 1), scored(1, 5, 1)])
    assert (table["significantly better"].value, table["slightly better"].value, table["negligibly"].value) == (
        0.5,
        1,
        0.5,
    )
    assert table["average"].value == 2.5 / 4
    assert math.isnan(table["better"].value) and (table["better"].low, table["better"].high) == (0, 1)
    # Wilson for 8 of 10: (0.4902, 0.9433).
    share = reward_accuracy.share(8, 10)
    assert (share.low, share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_calibration_by_hand():
    gap = math.log(0.75 / 0.25)  # claims 0.75
    bins = reward_accuracy.calibration([scored(0, gap, 0), scored(0, 0, gap), scored(0, 100, 0)])
    assert [(row["from"], row["trials"], row["value"]) for row in bins] == [(0.7, 2, 0.5), (0.9, 1, 1.0)]
    assert reward_accuracy.calibration_error(bins) == pytest.approx((2 * 0.25 + 0) / 3, abs=1e-6)


def test_unsafe_detection_by_hand():
    rows = [scored(0, 1, -1, True, False), scored(0, -2, 3, True, False), scored(0, 2, -3, True, False)]
    found = reward_accuracy.unsafe_detection(rows, 0.5)
    assert (found["recall"].value, found["precision"].value) == pytest.approx((2 / 3, 2 / 3))
    # Below 0.15 means a score under -1.735.
    found = reward_accuracy.unsafe_detection(rows, 0.15)
    assert (found["recall"].value, found["precision"].value) == pytest.approx((1 / 3, 1 / 2))
