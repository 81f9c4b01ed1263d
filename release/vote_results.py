"""What people preferred in the chat's comparisons: the tab "Results", in Markdown, from the votes alone.

As in training (modeling/rlhf/ratings), of what a rater said of one pair of answers the last word counts, and equal
answers do not count. A version is the content of an artifact: two contents of one name are two versions. All text that
comes from artifacts or people is escaped.
"""

import collections
import html
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from data_cleaning.markdown import literal
from modeling.core.statistics import wilson_interval
from modeling.core.version_names import BASE
from modeling.rlhf.labels import DEGREES, SIGNIFICANT
from modeling.rlhf.pairs import asked
from modeling.rlhf.ratings import reliability, stage
from modeling.rlhf.ratings.stage import compared, sides
from release.theme import one_line
from release.vote_statistics import RESAMPLES, ac2, ordinal_weights, prior, resamples, strengths, wins_of

FEW = 20  # prompts: below, a bootstrap interval is too narrow
GRADES = 2 * (SIGNIFICANT + 1)
MOST_ROWS, MOST_REASONS, MOST_CHARACTERS = 20, 20, 200


def standings(votes: Sequence[dict], titles: Mapping[str, str] | None = None) -> str:
    """All results as Markdown. `votes`: rows of the store in the order of voting, of one scale.

    `titles`: content → title of the versions that the chat knows, the oldest first. Others have the name of their last vote.
    """
    if not votes:
        return "Nobody has voted yet."
    raw = labels(votes, titles or {})
    names = {content: literal(name) for content, name in raw.items()}
    kept = last_words(votes)
    raters, prompts = len({vote["rater"] for vote in votes}), len({asked(vote["messages"]) for vote in votes})
    parts = [f"{counted(len(votes), 'vote')} of {counted(raters, 'rater')} on {counted(prompts, 'prompt')}."]
    if left_out := len(votes) - len(kept):
        parts.append(
            f"Left out of strength, pairs and agreement: {counted(left_out, 'vote')} on equal answers, or on answers that the "
            "rater judged again later."
        )
    if kept:
        parts += [strength(kept, names, titles or {}), by_pair(kept, names)]
    return "\n\n".join([*parts, agreement(kept), unsafe(votes, names), activity(votes), reasons(votes, raw)])


def last_words(votes: Sequence[dict]) -> list[dict]:
    """The votes on different answers, of each rater the last on each pair of answers, in the order of voting."""
    last = {}
    for vote in votes:
        if vote["answer_a"].strip() != vote["answer_b"].strip():
            key = about(vote), vote["rater"]
            last.pop(key, None)
            last[key] = vote
    return list(last.values())


def about(vote: dict) -> tuple[str, ...]:
    """What a vote judges: (prompt, prompt and answers, contents of the versions), whichever stood first."""
    return asked(vote["messages"]), compared(vote), *sorted((vote["content_a"], vote["content_b"]))


def labels(votes: Sequence[dict], titles: Mapping[str, str]) -> dict[str, str]:
    """Content of a version → its name. Names that several contents share get the beginning of the content."""
    names = {vote[f"content_{side}"]: vote[f"version_{side}"] for vote in votes for side in "ab"}
    names |= {content: title for content, title in titles.items() if content in names}
    shared = collections.Counter(names.values())
    return {content: f"{name} ({content[:8]})" if shared[name] > 1 else name for content, name in names.items()}


def strength(votes: Sequence[dict], names: Mapping[str, str], titles: Mapping[str, str]) -> str:
    """A table for each group of versions that votes connect, the one with the most votes first."""
    won_N2 = places(votes, list(names))
    _, group_V = connected_components(wins_of(won_N2, len(names)), connection="weak")
    groups: dict[int, list[dict]] = {}
    for vote, group in zip(votes, group_V[won_N2[:, 0]], strict=True):
        groups.setdefault(group, []).append(vote)
    tables = [strength_table(mine, names, titles) for mine in sorted(groups.values(), key=len, reverse=True)]
    parts = [
        "## Strength of the versions",
        "Bradley-Terry strengths from all votes together, shown as the expected win rate against one version, with 95 % "
        f"intervals from {RESAMPLES:,} resamples of the prompts. Every vote counts the same, however much better the "
        "answer was. Each version has one more vote, half won and half lost, so that its strength is finite. There is no "
        "interval where only this vote limits the strength, or where all votes are on one prompt.",
        "\n\nNo votes connect the next versions with those above, so they cannot be compared.\n\n".join(tables),
    ]
    if len({asked(vote["messages"]) for vote in votes}) < FEW:
        parts.append(f"With fewer than {FEW} prompts the intervals are too narrow.")
    return "\n\n".join(parts)


def strength_table(votes: Sequence[dict], names: Mapping[str, str], titles: Mapping[str, str]) -> str:
    """The expected win rates against the first version voted on that is named Base, else against the oldest known."""
    voted = {vote[f"content_{side}"]: vote[f"version_{side}"] for vote in votes for side in "ab"}
    contents, prompts = list(voted), [asked(vote["messages"]) for vote in votes]
    bases = [content for content, name in voted.items() if name in ("Base", *BASE)]
    base = [*bases, *(content for content in titles if content in voted), *contents][0]
    won_N2, size, zero = places(votes, contents), len(contents), contents.index(base)
    wins_VV = wins_of(won_N2, size)
    best_V = strengths(wins_VV + prior(size))
    drawn_BV = np.array(
        [strengths(wins_of(won_N2, size, each_N) + prior(size), best_V) for each_N in resamples(prompts)]
    )
    rate_V = expit(best_V - best_V[zero])
    low_V, high_V = np.quantile(expit(drawn_BV - drawn_BV[:, [zero]]), [0.025, 0.975], axis=0)
    # Only with wins and losses on the way to the base has the likelihood of the votes a maximum (Ford 1957).
    _, bounded_V = connected_components(wins_VV, connection="strong")
    lines = [f"| Version | Votes | Expected to win against {names[base]} |", "|---|---|---|"]
    for place in np.argsort(-best_V, kind="stable"):
        limits = f"{low_V[place]:.0%} to {high_V[place]:.0%}"
        if bounded_V[place] != bounded_V[zero] or len(set(prompts)) < 2:
            limits = "no interval"
        shown = "50%, by definition" if place == zero else f"{rate_V[place]:.0%} ({limits})"
        seen = int(wins_VV[place].sum() + wins_VV[:, place].sum())
        lines.append(f"| {names[contents[place]]} | {seen} | {shown} |")
    return "\n".join(lines)


def places(votes: Sequence[dict], contents: Sequence[str]) -> np.ndarray:
    """Places in `contents` of the preferred and of the other version (N, 2)."""
    place = {content: number for number, content in enumerate(contents)}
    return np.array([[place[vote[f"content_{side}"]] for side in sides(vote)] for vote in votes])


def by_pair(votes: Sequence[dict], names: Mapping[str, str]) -> str:
    wins: dict[tuple[str, str], list[bool]] = {}
    for vote in votes:
        best, other = (names[vote[f"content_{side}"]] for side in sides(vote))
        pair = tuple(sorted((best, other)))
        wins.setdefault(pair, []).append(best == pair[0])
    lines = ["| Versions | Votes | The first was preferred |", "|---|---|---|"]
    for (one, other), won in sorted(wins.items(), key=lambda item: -len(item[1])):
        low, high = wilson_interval(sum(won), len(won))
        lines.append(f"| {one} against {other} | {len(won)} | {sum(won) / len(won):.0%} ({low:.0%} to {high:.0%}) |")
    return "\n".join(["## Pair by pair", "", "With 95 % intervals (Wilson).", "", *lines])


def agreement(votes: Sequence[dict]) -> str:
    """How far raters agree on the same two answers; intervals resample prompts."""
    graded: dict[tuple, np.ndarray] = {}
    for vote in votes:
        graded.setdefault(about(vote), np.zeros(GRADES))[grade(vote)] += 1
    shared = [key for key, counts_K in graded.items() if counts_K.sum() > 1]
    title = "## Agreement between raters\n\n"
    if not shared:
        return f"{title}Undefined: no pair of answers was judged by two raters."
    counts_NK, agree_KK = np.array(list(graded.values())), ordinal_weights(GRADES)
    low, high = 0.0, 0.0
    if len({prompt for prompt, *_ in shared}) > 1:
        drawn = [ac2(counts_NK, agree_KK, each_N) for each_N in resamples([prompt for prompt, *_ in graded])]
        low, high = np.quantile([one for one in drawn if one is not None], [0.025, 0.975])
    limits = f"{low:.2f} to {high:.2f}" if high > low else "no interval"
    return (
        f"{title}Gwet's AC2 with ordinal weights over the {GRADES} degrees: {ac2(counts_NK, agree_KK):.2f} ({limits}), from "
        f"{counted(len(shared), 'pair')} of answers that two or more raters judged. 1 is perfect, 0 is chance. The paper "
        f"reports 0.37 to 0.55 (3.4.2), with 7 degrees and three raters.{unreliable(votes)}"
    )


def unreliable(votes: Sequence[dict]) -> str:
    """A sentence on the raters whose votes training leaves out (modeling/rlhf/ratings); "" if there are none."""
    accuracy = stage.accuracies(stage.last_words(votes, collections.Counter()))
    number = sum(one < reliability.LEAST for one in accuracy.values())
    if not number:
        return ""
    return f" Training leaves out the votes of {counted(number, 'rater')}, for agreeing with others hardly more than chance."


def grade(vote: dict) -> int:
    """Place on the scale from "the first is significantly better" (0) to "the second is …" (7); first by content."""
    for_first = vote["content_" + vote["preferred"]] == min(vote["content_a"], vote["content_b"])
    return SIGNIFICANT - vote["degree"] if for_first else SIGNIFICANT + 1 + vote["degree"]


def unsafe(votes: Sequence[dict], names: Mapping[str, str]) -> str:
    marks: dict[str, list[bool]] = {}
    for vote in votes:
        for side in "ab":
            marks.setdefault(names[vote[f"content_{side}"]], []).append(not vote[f"safe_{side}"])
    lines = ["## Marked as unsafe", "", "| Version | Answers seen | Called unsafe |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {len(said)} | {sum(said)} |" for name, said in sorted(marks.items()))])


def activity(votes: Sequence[dict]) -> str:
    """Votes by rater, the most first, and by day in UTC, the latest first."""
    raters = collections.Counter(vote["rater"] for vote in votes).most_common()
    days = sorted(collections.Counter(vote["time"][:10] for vote in votes).items(), reverse=True)
    lines = ["## Votes by rater and by day"]
    for head, rows in (("Rater", [(rater[:8], number) for rater, number in raters]), ("Day (UTC)", days)):
        lines += ["", f"| {head} | Votes | Share |", "|---|---|---|"]
        lines += [f"| {literal(name)} | {n} | {n / len(votes):.0%} |" for name, n in rows[:MOST_ROWS]]
        if rest := [number for _, number in rows[MOST_ROWS:]]:
            lines.append(f"| {len(rest)} more | {sum(rest)} | {sum(rest) / len(votes):.0%} |")
    return "\n".join(lines)


def reasons(votes: Sequence[dict], names: Mapping[str, str]) -> str:
    """The last reasons, collapsed; "" if there are none. HTML on one line, in which Markdown and addresses stay text."""
    items = []
    for vote in [vote for vote in reversed(votes) if vote["reason"].strip()][:MOST_REASONS]:
        reason = " ".join(vote["reason"].split())
        reason = reason if len(reason) <= MOST_CHARACTERS else reason[: MOST_CHARACTERS - 1] + "…"
        best, other = (names[vote[f"content_{side}"]] for side in sides(vote))
        told = f"{best} over {other}, {DEGREES[vote['degree']]}"
        items.append(f"<li>{html.escape(told)}: <q>{html.escape(reason)}</q></li>")
    listed = f"<details><summary>The last {counted(len(items), 'reason')}</summary><ul>{''.join(items)}</ul></details>"
    return one_line(listed) if items else ""


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
