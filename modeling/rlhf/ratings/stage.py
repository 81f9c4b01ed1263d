"""People's votes as preference pairs for the reward models (paper 3.2.1): batches of votes from the chat's comparisons.

The paper collects them in weekly batches. Here a batch is complete after a number of votes that the scale states; votes
of an incomplete batch wait, so that one vote does not make five rounds anew. Of what a rater said of one pair, the last
word counts. Raters are weighed by how often they agree with others (reliability.py), and the votes of those who are hardly
better than chance are left out. Where raters disagree, the weighted majority counts, and without a clear one the pair is
left out. Personal data in the texts is replaced as in the corpus. All that is left out is counted.
"""

import collections
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_cleaning.filters.pii import masked
from modeling.core import dialogue_tables, hashing, reporting
from modeling.rlhf.labels import NEGLIGIBLE
from modeling.rlhf.pairs import PEOPLE_IN_CHAT, asked
from modeling.rlhf.preferences import CHOSEN_UNSAFE, IDENTICAL, SCHEMA
from modeling.rlhf.preferences import examples as pairs_to_read
from modeling.rlhf.ratings import reliability
from modeling.rlhf.ratings.store import Store, digest
from modeling.rlhf.recipes import RatingsRecipe

REPEATED, CONTESTED, UNRELIABLE = "said_again", "contested", "unreliable_rater"


def run(config: RatingsRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write pairs.parquet (the columns of a round's pairs; round 0) and examples.md. It has no inputs.

    Returns counts, the share of the rater with the most votes, and how often the worst rater is right. There may be no
    pair at all. Raises ValueError if the votes changed since the recipe was made.
    """
    votes = Store.here().counted(config.scale, config.votes) if config.votes else []
    if digest(votes) != config.digest:
        raise ValueError("votes were withdrawn since this run was planned: run it again")
    rows, left_out, accuracy = pairs_of(votes, config.test_share)
    dialogue_tables.write_rows(rows, SCHEMA, out / "pairs.parquet")
    reporting.write_text(out / "examples.md", pairs_to_read(rows))
    log.info(f"{len(rows)} pairs from {len(votes)} votes")
    raters = collections.Counter(vote["rater"] for vote in votes)
    return {
        "votes": len(votes),
        "pairs": len(rows),
        "pairs_test": sum(row["split"] == "test" for row in rows),
        "raters": len(raters),
        "largest_rater_share": round(max(raters.values(), default=0) / max(len(votes), 1), 4),
        "raters_left_out": sum(one < reliability.LEAST for one in accuracy.values()),
        "least_rater_accuracy": round(min(accuracy.values(), default=reliability.PRIOR), 4),
        "pairs_shared": pairs_shared(votes),
        **{
            f"left_out_{reason}": left_out[reason]
            for reason in (IDENTICAL, REPEATED, UNRELIABLE, CONTESTED, CHOSEN_UNSAFE)
        },
    }


def pairs_of(votes: Sequence[dict], test_share: float) -> tuple[list[dict], collections.Counter, dict[str, float]]:
    """(rows of pairs.parquet, reason → number of votes left out, rater → probability of being right)."""
    left_out: collections.Counter = collections.Counter()
    opinions = last_words(votes, left_out)
    raters = accuracies(opinions)
    rows = []
    for pair, mine in sorted(opinions.items()):
        counted = {rater: vote for rater, vote in mine.items() if raters[rater] >= reliability.LEAST}
        left_out[UNRELIABLE] += len(mine) - len(counted)
        agreed, against = majority(counted, raters)
        left_out[CONTESTED] += len(against)
        if not agreed:
            continue
        row = row_of(pair, agreed, against, raters, test_share)
        if row["rejected_safe"] and not row["chosen_safe"]:
            left_out[CHOSEN_UNSAFE] += len(agreed)
        else:
            rows.append(row)
    return rows, left_out, raters


def accuracies(opinions: Mapping[str, Mapping[str, dict]]) -> dict[str, float]:
    """Rater → probability of being right, from `last_words`. Votes of raters who were unsure tell nothing of them."""
    said = [
        {rater: prefers_first(vote) for rater, vote in mine.items() if vote["degree"] != NEGLIGIBLE}
        for mine in opinions.values()
    ]
    return {rater: reliability.PRIOR for mine in opinions.values() for rater in mine} | reliability.accuracies(said)


def pairs_shared(votes: Sequence[dict]) -> int:
    """The number of pairs that several raters judged."""
    return sum(len(mine) > 1 for mine in last_words(votes, collections.Counter()).values())


def last_words(votes: Sequence[dict], left_out: collections.Counter) -> dict[str, dict[str, dict]]:
    """Pair → rater → the rater's last vote on it. Counts the others in `left_out`, by reason."""
    opinions: dict[str, dict[str, dict]] = {}
    for vote in votes:
        if vote["answer_a"].strip() == vote["answer_b"].strip():
            left_out[IDENTICAL] += 1
            continue
        mine = opinions.setdefault(compared(vote), {})
        left_out[REPEATED] += vote["rater"] in mine
        mine[vote["rater"]] = vote
    return opinions


def majority(votes: Mapping[str, dict], raters: Mapping[str, float]) -> tuple[list[dict], list[dict]]:
    """(votes of the weighted majority, votes against it); ([], all) if it is too uncertain. `votes`: by rater."""
    first = reliability.probability({rater: prefers_first(vote) for rater, vote in votes.items()}, raters)
    if max(first, 1 - first) < reliability.LEAST:
        return [], list(votes.values())
    agreed = [vote for vote in votes.values() if prefers_first(vote) == (first > 0.5)]
    return agreed, [vote for vote in votes.values() if prefers_first(vote) != (first > 0.5)]


def prefers_first(vote: dict) -> bool:
    """Whether a vote prefers the first of its two answers in the order of their texts, whichever stood first."""
    best, other = (vote[f"answer_{side}"] for side in sides(vote))
    return best < other


def compared(vote: dict) -> str:
    """What a vote is about: the dialogue and the two answers, whichever stood first."""
    return hashing.digest("\x1e".join([asked(vote["messages"]), *sorted((vote["answer_a"], vote["answer_b"]))])).hex()


def row_of(
    pair: str, votes: Sequence[dict], against: Sequence[dict], raters: Mapping[str, float], test_share: float
) -> dict:
    """One row from the votes of raters who agree. An answer is safe if most of them say so, by their weights.

    The degree is the weighted mean of all raters', in which those against the majority count below zero.
    """
    vote = votes[0]
    weights, others = ([reliability.weight(raters[v["rater"]]) for v in some] for some in (votes, against))
    degrees = [w * v["degree"] for w, v in zip(weights, votes, strict=True)]
    degrees += [-w * v["degree"] for w, v in zip(others, against, strict=True)]
    degree = math.fsum(degrees) / math.fsum([*weights, *others])
    chosen, other = (vote[f"answer_{side}"] for side in sides(vote))
    messages = [one | {"content": masked(one["content"])} for one in vote["messages"]]
    safe = {
        text: 2 * math.fsum(w for w, v in zip(weights, votes, strict=True) if says_safe(v, text)) > math.fsum(weights)
        for text in (chosen, other)
    }
    entity = hashing.digest(asked(vote["messages"])).hex()
    return {
        "id": f"vote:{pair}",
        "prompt_id": f"vote:{entity}",
        "entity": entity,
        # A prompt of which people mark an answer as unsafe belongs to the safety model.
        "kind": "helpfulness" if all(safe.values()) else "safety",
        "category": "chat",
        "messages": messages,
        "chosen": masked(chosen),
        "rejected": masked(other),
        "degree": max(NEGLIGIBLE, round(round(degree, 9))),  # the inner one: equal weights give the plain mean
        "chosen_safe": safe[chosen],
        "rejected_safe": safe[other],
        "annotator": PEOPLE_IN_CHAT,
        **{
            f"{name}_from": vote[f"version_{side}"]
            for name, side in zip(("chosen", "rejected"), sides(vote), strict=True)
        },
        "round": 0,
        "split": "test" if hashing.unit_hash("vote split", entity) < test_share else "train",
    }


def says_safe(vote: dict, answer: str) -> bool:
    return vote["safe_a" if vote["answer_a"] == answer else "safe_b"]


def sides(vote: dict) -> tuple[str, str]:
    """(side preferred, other side) of a vote: "a" and "b"."""
    return ("a", "b") if vote["preferred"] == "a" else ("b", "a")
