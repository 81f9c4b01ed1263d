"""Raters are weighed by agreement: the careless one and the one who always votes left are found, the careful ones kept."""

import math
import random

import pytest

from modeling.rlhf.ratings.reliability import LEAST, PRIOR, accuracies, probability, weight

CAREFUL = {"ann": 0.95, "bea": 0.9, "cem": 0.85, "dan": 0.8}


def judged(pairs: int, seed: int) -> tuple[list[dict], list[bool]]:
    """(what two of six raters say of each pair, whether its first answer is better); the sides are shuffled for each."""
    rng = random.Random(seed)
    said, truth = [], [rng.random() < 0.5 for _ in range(pairs)]
    for better in truth:
        votes = {}
        for rater in rng.sample([*CAREFUL, "careless", "left"], 2):
            first_is_left = rng.random() < 0.5
            right = better if rng.random() < CAREFUL.get(rater, 0.5) else not better
            votes[rater] = first_is_left if rater == "left" else right
        said.append(votes)
    return said, truth


def right(said: list[dict], truth: list[bool], accuracy: dict[str, float]) -> float:
    """The share of the pairs of which the majority names the better answer."""
    return sum((probability(votes, accuracy) > 0.5) == better for votes, better in zip(said, truth, strict=True)) / len(
        said
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_careless_and_the_one_who_votes_left_are_below_the_careful(seed):
    said, truth = judged(300, seed)
    found = accuracies(said)
    careful = [found[rater] for rater in CAREFUL]
    assert max(found["careless"], found["left"]) < LEAST < 0.7 < min(careful)
    assert found["ann"] == pytest.approx(0.95, abs=0.1)
    kept = [{rater: one for rater, one in votes.items() if found[rater] >= LEAST} for votes in said]
    both = [place for place, votes in enumerate(kept) if len(votes) == 2]
    assert right([kept[place] for place in both], [truth[place] for place in both], found) > 0.8


def test_a_weighted_majority_is_right_more_often_than_a_plain_one():
    rng, skills = random.Random(1), {"ann": 0.95, "x": 0.6, "y": 0.6}
    truth = [rng.random() < 0.5 for _ in range(1000)]
    said = [{rater: (rng.random() < skill) == better for rater, skill in skills.items()} for better in truth]
    found = accuracies(said)
    assert found["ann"] > max(found["x"], found["y"])
    assert right(said, truth, found) > right(said, truth, dict.fromkeys(skills, PRIOR)) + 0.1


def test_few_votes_and_pairs_of_one_rater_say_little():
    assert accuracies([]) == {} and accuracies([{"ann": True}] * 50) == {"ann": PRIOR}
    found = accuracies([{"ann": True, "bea": False}] * 3)
    assert found["ann"] == found["bea"] > LEAST
    assert accuracies([{"ann": True, "bea": True}] * 40)["ann"] > 0.9


def test_weights_by_hand():
    # Odds 4 : 1 and 4 : 1 against 9 : 1 make 16 : 9.
    assert probability({"x": True, "y": True, "z": False}, {"x": 0.8, "y": 0.8, "z": 0.9}) == pytest.approx(16 / 25)
    assert probability({"x": True, "y": False}, {"x": 0.7, "y": 0.7}) == probability({}, {}) == 0.5
    assert weight(0.8) == pytest.approx(math.log(4)) and weight(0.5) == 0
