"""Where people and the reward models disagree: pairs of answers of which the one that people prefer scores lower.

The reward model of a pair's kind judges it, as in training: that of safety where people marked an answer as unsafe. Pairs
and people's verdicts are those of training too (modeling/rlhf/ratings), without personal data. Votes from before other
people could see what their raters asked are left out.
"""

from collections.abc import Sequence

from modeling.core import sampling
from modeling.rlhf import scoring
from modeling.rlhf.labels import DEGREES, NEGLIGIBLE
from modeling.rlhf.pairs import KINDS, of_kind, score_pairs
from modeling.rlhf.ratings.stage import compared, pairs_of
from release import theme
from release.reward_models import RewardModels

MOST_SCORED, MOST_SHOWN, MOST_CHARACTERS = 50, 10, 600


def to_score(votes: Sequence[dict]) -> list[dict]:
    """The newest pairs on which people are not unsure, the newest first: rows of pairs.parquet with `time`.

    `votes`: rows of the store in the order of voting.
    """
    times = {f"vote:{compared(vote)}": vote["time"] for vote in votes if vote["comparison"]}
    rows, _, _ = pairs_of(votes, test_share=0.0)
    sure = [row | {"time": times[row["id"]]} for row in rows if row["id"] in times and row["degree"] != NEGLIGIBLE]
    return sorted(sure, key=lambda row: row["time"], reverse=True)[:MOST_SCORED]


def probabilities(found: RewardModels, rows: Sequence[dict]) -> list[float]:
    """For each pair the probability, by its reward model, that the answer which people prefer is the better one."""
    said = [0.0] * len(rows)
    for kind, folder in zip(KINDS, found.folders, strict=True):
        mine = [place for place, row in enumerate(rows) if of_kind(row, kind)]
        if mine:
            model, tokenizer = scoring.load(folder)
            scored = score_pairs(model, tokenizer, [rows[place] for place in mine])
            for place, value in zip(mine, scoring.sigmoid([one.chosen - one.rejected for one in scored]), strict=True):
                said[place] = value.item()
            del model
            sampling.free_memory()
    return said


def listed(rows: Sequence[dict], said: Sequence[float], number: int) -> str:
    """The pairs on which the reward models of a round differ most from people, the newest first, as HTML."""
    if not rows:
        return theme.state_line("There are no pairs of answers yet on which people are sure.")
    apart = [(one, row) for one, row in zip(said, rows, strict=True) if one < 0.5]
    most = sorted(apart, key=lambda pair: pair[0])[:MOST_SHOWN]
    parts = [
        theme.state_line(
            f"The reward models of round {number} prefer another answer than people in {len(apart)} of the newest "
            f"{len(rows)} pairs." + (f" The {len(most)} that differ most, the newest first:" if most else "")
        )
    ]
    for one, row in sorted(most, key=lambda pair: pair[1]["time"], reverse=True):
        head = (
            f"{row['time'][:10]} · {row['kind']} · people: {DEGREES[row['degree']]} · the reward model gives their choice "
            f"{one:.0%}"
        )
        texts = [("Asked", "\n".join(message["content"] for message in row["messages"]))]
        texts += [("People prefer", row["chosen"]), ("The reward model prefers", row["rejected"])]
        shown = "".join(f'<div class="by">{name}</div>{theme.plain(shortened(text))}' for name, text in texts)
        parts.append(f'<div class="answer">{theme.state_line(head)}{shown}</div>')
    return "".join(parts)


def shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
