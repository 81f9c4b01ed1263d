"""How often each rater is right, from the pairs that several raters judged: the one-coin model of Dawid and Skene (1979).

Each pair has one better answer, which nobody knows. A rater names it with a probability, the same on all pairs, and
independently of other raters. Expectation-maximization finds these probabilities. A Beta prior stands for votes that
every rater brings along: who shares no pair counts as much as all others, and few disagreements leave nobody out.
"""

import collections
import math
from collections.abc import Mapping, Sequence

RIGHT, WRONG = 8.0, 2.0  # votes of the prior: raters are right in 80 % of pairs, until ten shared pairs say otherwise
PRIOR = RIGHT / (RIGHT + WRONG)
LEAST = 0.6  # a rater who is right less often, and a majority that is, do not count; 0.5 is chance
CLOSE, MOST_STEPS = 1e-5, 200


def accuracies(said: Sequence[Mapping[str, bool]]) -> dict[str, float]:
    """Rater → the probability of being right. `said`: for each pair, rater → whether the first answer was preferred.

    Pairs of one rater tell nothing. A rater without others has the mean of the prior.
    """
    found = {rater: PRIOR for pair in said for rater in pair}
    shared = [pair for pair in said if len(pair) > 1]
    votes = collections.Counter(rater for pair in shared for rater in pair)
    for _ in range(MOST_STEPS):
        right: dict[str, list[float]] = {rater: [RIGHT] for rater in votes}
        for pair in shared:
            first = probability(pair, found)
            for rater, preferred in pair.items():
                right[rater].append(first if preferred else 1 - first)
        new = {rater: math.fsum(right[rater]) / (votes[rater] + RIGHT + WRONG) for rater in votes}
        step = max((abs(new[rater] - found[rater]) for rater in new), default=0.0)
        found |= new
        if step < CLOSE:
            break
    return found


def probability(pair: Mapping[str, bool], accuracy: Mapping[str, float]) -> float:
    """The probability that the first answer is the better one, given what raters prefer. Without raters, 0.5."""
    return 1 / (1 + math.exp(-math.fsum(weight(accuracy[rater]) * (1 if one else -1) for rater, one in pair.items())))


def weight(accuracy: float) -> float:
    """The log odds by which a vote counts in a majority, with which it is most often right (Nitzan, Paroush 1982)."""
    return math.log(accuracy / (1 - accuracy))
