"""People's votes as preference pairs for the reward models (paper 3.2.1): batches of votes from the chat's comparisons.

The paper collects them in weekly batches. Here a batch is complete after a number of votes that the scale states; votes
of an incomplete batch wait, so that one vote does not make five rounds anew. Of what a rater said of one pair, the last
word counts. Where raters disagree, the majority counts, and without one the pair is left out. Personal data in the texts
is replaced as in the corpus. All that is left out is counted.
"""

import collections
from collections.abc import Sequence
from pathlib import Path

from data_cleaning.filters.pii import masked
from modeling.core import dialogue_tables, hashing, reporting
from modeling.rlhf.pairs import PEOPLE_IN_CHAT, asked
from modeling.rlhf.preferences import CHOSEN_UNSAFE, IDENTICAL, SCHEMA
from modeling.rlhf.preferences import examples as pairs_to_read
from modeling.rlhf.ratings.store import Store, digest
from modeling.rlhf.recipes import RatingsRecipe

REPEATED, CONTESTED = "said_again", "contested"


def run(config: RatingsRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write pairs.parquet (the columns of a round's pairs; round 0) and examples.md. It has no inputs.

    Returns counts, and the share of the rater with the most votes. There may be no pair at all. Raises ValueError if the
    votes changed since the recipe was made.
    """
    votes = Store.here().counted(config.scale, config.votes) if config.votes else []
    if digest(votes) != config.digest:
        raise ValueError("votes were withdrawn since this run was planned: run it again")
    rows, left_out = pairs_of(votes, config.test_share)
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
        **{f"left_out_{reason}": left_out[reason] for reason in (IDENTICAL, REPEATED, CONTESTED, CHOSEN_UNSAFE)},
    }


def pairs_of(votes: Sequence[dict], test_share: float) -> tuple[list[dict], collections.Counter]:
    """(rows of pairs.parquet, reason → number of votes left out)."""
    left_out: collections.Counter = collections.Counter()
    last: dict[tuple[str, str], dict] = {}
    for vote in votes:
        if vote["answer_a"].strip() == vote["answer_b"].strip():
            left_out[IDENTICAL] += 1
            continue
        key = compared(vote), vote["rater"]
        left_out[REPEATED] += key in last
        last[key] = vote
    opinions: dict[str, list[dict]] = {}
    for (pair, _), vote in last.items():
        opinions.setdefault(pair, []).append(vote)
    rows = []
    for pair, said in sorted(opinions.items()):
        likes = collections.Counter(vote[f"answer_{vote['preferred']}"] for vote in said)
        (best, most), *rest = likes.most_common()
        if rest and rest[0][1] == most:
            left_out[CONTESTED] += len(said)
            continue
        agreed = [vote for vote in said if vote[f"answer_{vote['preferred']}"] == best]
        left_out[CONTESTED] += len(said) - len(agreed)
        row = row_of(pair, agreed, test_share)
        if row["rejected_safe"] and not row["chosen_safe"]:
            left_out[CHOSEN_UNSAFE] += len(agreed)
        else:
            rows.append(row)
    return rows, left_out


def compared(vote: dict) -> str:
    """What a vote is about: the dialogue and the two answers, whichever stood first."""
    return hashing.digest("\x1e".join([asked(vote["messages"]), *sorted((vote["answer_a"], vote["answer_b"]))])).hex()


def row_of(pair: str, votes: Sequence[dict], test_share: float) -> dict:
    """One row from the votes of raters who agree. An answer is safe if most of them say so."""
    vote = votes[0]
    chosen, other = (vote[f"answer_{side}"] for side in sides(vote))
    messages = [one | {"content": masked(one["content"])} for one in vote["messages"]]
    safe = {
        text: sum(v[f"safe_{side}"] for v in votes for side in "ab" if v[f"answer_{side}"] == text) * 2 > len(votes)
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
        "degree": round(sum(v["degree"] for v in votes) / len(votes)),
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


def sides(vote: dict) -> tuple[str, str]:
    """(side preferred, other side) of a vote: "a" and "b"."""
    return ("a", "b") if vote["preferred"] == "a" else ("b", "a")
