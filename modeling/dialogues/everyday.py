"""Everyday and borderline requests, each with the part of the split that owns it.

Held-out everyday requests come from other sources than the demonstrations (PARTS). Near-duplicates are grouped over
all sources before the split, and all requests of a chat belong to one group. A group belongs to one part, by the source
of most of its requests; requests of sources that have no share in that part are left out.
"""

import collections
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling.dialogues import answer_rules, everyday_sources, judge_labels, splits
from modeling.dialogues.adversarial_prompts import OwnedTwin
from modeling.dialogues.dialogue_sources import Conversation
from modeling.dialogues.everyday_sources import Asked
from modeling.dialogues.questions import Subject
from modeling.dialogues.splits import DEMONSTRATIONS, RL, TEST, Shares

LEARNT: Shares = ((DEMONSTRATIONS, 0.6), (RL, 0.4))
HELD_OUT: Shares = ((TEST, 1.0),)
# Source → its share in each part. A source that is not listed is learnt from.
#                     demonstrations  RL    test
PARTS: dict[str, Shares] = {
    "recipes": LEARNT,              # everyday: dishes
    "glaive": LEARNT,               # everyday: chats about science, technology, society
    "forgelm": LEARNT,              # everyday: short programs
    "steganography": HELD_OUT,      # everyday: instructions of many kinds
    "aplomb": HELD_OUT,             # everyday, and borderline
    "vicuna": HELD_OUT,             # everyday: questions of many kinds
    "mt-bench": HELD_OUT,           # everyday: writing, roleplay, science, humanities
    "dpo": LEARNT,                  # everyday: its other prompts are preference pairs (preference_sources.py)
    "kto": LEARNT,                  # everyday
    "rho-refusal": ((DEMONSTRATIONS, 0.4), (RL, 0.4), (TEST, 0.2)),        # harmless twins: the part of the harmful question
    "rho-overrefusal": ((DEMONSTRATIONS, 0.3), (RL, 0.3), (TEST, 0.4)),    # borderline, without answers
}  # fmt: skip
SIMILARITY = 0.51  # of the content words of two requests: more than half
# Words that are in every other request and say nothing about its topic.
_FILLER = frozenset(
    ["make", "recipe", "prepare", "cook", "simple", "easy", "give", "tell", "explain", "describe", "concept", "difference", "way",
     "tip", "step", "use", "best", "good", "list", "write", "create", "provide", "suggest", "example", "work", "need", "home"]
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A request with what both stages need of it."""

    question: str
    answer: str  # a good answer of up to 90 words, or ""
    before: tuple[dict, ...]  # earlier messages that a follow-up refers to
    borderline: bool
    source: str
    entity: str  # its group of near-duplicates
    part: str  # splits.DEMONSTRATIONS, RL or TEST
    dish: bool  # asks for a recipe: by far the most requests do


def requests(
    dialogues: Path, known: Iterable[str] = (), twins: Sequence[OwnedTwin] | None = None
) -> tuple[list[Request], collections.Counter]:
    """All requests in hash order, and the number of those left out by (source, reason).

    `known` are the entities of reference texts and conversations: a request about one that another part owns is left
    out. So is one that resembles an objective on which the judge is fitted. A harmless twin belongs to the part of its
    harmful question, which `twins` says, and is left out if that has none or a group of several is of another part;
    without `twins`, for callers that need no twin, its own group decides.
    """
    asked, left_out = everyday_sources.asked(dialogues)
    judged = Near(judge_labels.objectives(dialogues))
    groups, known = grouped(asked), frozenset(known)
    owners = _owners(asked, groups)
    sizes = collections.Counter(groups)
    parts = {one.twin.question: one.part for one in twins or ()}
    found = []
    for one, group in zip(asked, groups, strict=True):
        part, about = splits.part_of(group, owners[group]), splits.about(one.question)
        why = None
        if twins is not None and one.borderline and one.answer:
            part = parts.get(one.question, "") if sizes[group] == 1 else part
            why = None if part == parts.get(one.question) else "twin of a harmful question of another part"
        if part not in dict(PARTS.get(one.source, LEARNT)):
            why = why or "resembles requests of another part"
        elif about in known and splits.part_of(about, splits.KNOWLEDGE) != part:
            why = "about a reference text of another part"
        elif any(judged.has(text) for text in (one.question, *(message["content"] for message in one.before))):
            why = "resembles an objective of the judge"
        if why:
            left_out[one.source, why] += 1
        else:
            found.append(
                Request(
                    one.question,
                    one.answer,
                    one.before,
                    one.borderline,
                    one.source,
                    f"everyday: {group}",
                    part,
                    one.topic != one.question and not one.borderline,
                )
            )
    return in_order(found), left_out


def in_order(requests: Iterable[Request]) -> list[Request]:
    """The requests in hash order."""
    return sorted(requests, key=lambda one: splits.unit(one.question, "order"))


def entities(known: Iterable[Subject], conversations: Iterable[Conversation]) -> set[str]:
    """What reference texts and conversations are about."""
    return {one.entity for one in known} | {splits.about(one.turns[0]) for one in conversations}


def _owners(asked: Sequence[Asked], groups: Sequence[str]) -> dict[str, Shares]:
    """For each group the shares by which its part is drawn: those of most of its requests, of tests if as many."""
    votes: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for one, group in zip(asked, groups, strict=True):
        votes[group][PARTS.get(one.source, LEARNT)] += 1
    return {group: max(counts, key=lambda shares: (counts[shares], dict(shares).get(TEST, 0.0)))
            for group, counts in votes.items()}  # fmt: skip


def grouped(asked: Sequence[Asked]) -> list[str]:
    """For each request the name of its group: near-duplicates by topic, and all requests of one chat."""
    names = splits.similar_groups([topic_words(one.topic) for one in asked], SIMILARITY)
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    first: dict[tuple[str, str], str] = {}
    for one, name in zip(asked, names, strict=True):
        low, high = sorted((root(name), root(first.setdefault((one.source, one.chat), name))))
        parent[high] = low
    return [root(name) for name in names]


def topic_words(text: str) -> str:
    """The words of a request that carry its topic; all its words if there are none."""
    words = [word for word in answer_rules.content_words(text) if word not in _FILLER]
    return " ".join(words) or splits.entity(text)


class Near:
    """A set of texts; `has` says whether one of them resembles another text (Jaccard similarity of the words)."""

    def __init__(self, texts: Iterable[str], threshold: float = 0.6) -> None:
        self.threshold = threshold
        self.words = [frozenset(splits.entity(text).split()) for text in texts]
        self.holders: dict[str, list[int]] = collections.defaultdict(list)
        for number, words in enumerate(self.words):
            for word in words:
                self.holders[word].append(number)

    def has(self, text: str) -> bool:
        mine = frozenset(splits.entity(text).split())
        shared = collections.Counter(number for word in mine for number in self.holders.get(word, ()))
        return any(count >= self.threshold * len(mine | self.words[number]) for number, count in shared.items())
