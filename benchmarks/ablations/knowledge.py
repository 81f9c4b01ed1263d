"""A knowledge probe: which of several facts of training documents belongs to a subject?

A fact is what a factual document says of its title ("The Catcher in the Rye" … "is a 1951 American novel"). Distractors
are facts of other documents after the same verb. The score of a choice is log p(choice | subject) − log p(choice | "It"),
so that a choice gains nothing by being likely in itself (Holtzman et al. 2021, arXiv 2104.08315).

Of a name that no training document has, no choice is true. A model that does not hallucinate is undecided there: its
confidence, the largest probability among the choices, is near chance.
"""

import bisect
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch
from torch import Tensor

from modeling.core import dialog, hashing
from modeling.evaluation.bits_per_byte import score_rows
from modeling.pretraining.tokenizer import document_tokens

VERBS = ("is", "was", "are", "were")
BETWEEN = 80  # characters, at most
LEAST_WORDS = 4  # of a fact
TELLING_LETTERS = 4  # a word of so many letters that title and fact share would tell the answer


@dataclass(frozen=True)
class Question:
    subject: str  # "Everest is"
    verb: str
    choices: tuple[str, ...]
    right: int


def fact_of(title: str, text: str, words: int) -> tuple[str, str, str] | None:
    """Returns (subject, verb, fact of at most `words` words), or None if the text does not begin with such a fact."""
    name = re.sub(r"\s*\(.*\)$", "", title)
    # Between name and verb stand dates of life, other names, pronunciations.
    begins = rf"((?:The |An? )?(?i:{re.escape(name)}))\b[^.\n]{{0,{BETWEEN}}}? ({'|'.join(VERBS)}) ([^.\n]+)"
    found = re.match(begins, text) if name else None
    if found is None:
        return None
    subject, verb, said = found.groups()
    fact = said.split()[:words]
    telling = {word for word in re.findall(r"\w+", name.lower()) if len(word) >= TELLING_LETTERS}
    if len(fact) < LEAST_WORDS or telling & set(re.findall(r"\w+", " ".join(fact).lower())):
        return None
    return subject, verb, " ".join(fact)


def questions(mixture: Path, sources: tuple[str, ...], count: int, choices: int, words: int) -> list[Question]:
    """Returns at most `count` questions about training documents of `sources`, chosen by hash.

    Raises ValueError if there is none.
    """
    made = []
    for verb, facts in _facts(mixture / "train", sources, words).items():
        for subject, wrong in _with_distractors(facts, list(facts), choices - 1):
            right = hashing.number(subject) % choices
            made.append(Question(subject, verb, (*wrong[:right], facts[subject], *wrong[right:]), right))
    if not made:
        raise ValueError(f"no document of {', '.join(sources)} begins with a fact: the probe needs titled documents")
    return sorted(made, key=lambda one: hashing.digest(one.subject))[:count]


def unknown(mixture: Path, sources: tuple[str, ...], count: int, choices: int, words: int) -> list[Question]:
    """Returns at most `count` questions about the names of held-out documents, without a right choice (`right` is -1).

    Raises ValueError if there is none.
    """
    known = _facts(mixture / "train", sources, words)
    made = []
    for verb, unseen in _facts(mixture / "heldout", sources, words).items():
        names = [subject for subject in unseen if subject not in known[verb]]
        made += [
            Question(subject, verb, wrong, -1) for subject, wrong in _with_distractors(known[verb], names, choices)
        ]
    if not made:
        raise ValueError(f"no held-out document of {', '.join(sources)} begins with a fact: hold out more documents")
    return sorted(made, key=lambda one: hashing.digest(one.subject))[:count]


def _facts(folder: Path, sources: tuple[str, ...], words: int) -> dict[str, dict[str, str]]:
    """verb → subject → fact, of the documents in a folder of shards."""
    by_verb: dict[str, dict[str, str]] = defaultdict(dict)
    table = pq.read_table(folder, columns=["title", "text"], filters=[("source", "in", sources)])
    for title, text in zip(table["title"].to_pylist(), table["text"].to_pylist(), strict=True):
        if found := fact_of(title, text, words):
            subject, verb, fact = found
            by_verb[verb][subject] = fact
    return by_verb


def _with_distractors(facts: dict[str, str], subjects: list[str], count: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields each subject with `count` different facts of others; those that follow its hash among all."""
    ranked = sorted(facts, key=hashing.digest)
    places = [hashing.digest(other) for other in ranked]
    for subject in sorted(subjects, key=hashing.digest):
        place = bisect.bisect_right(places, hashing.digest(subject))
        others = dict.fromkeys(facts[other] for other in ranked[place:] + ranked[:place] if other != subject)
        wrong = [fact for fact in others if fact != facts.get(subject)][:count]
        if len(wrong) == count:
            yield subject, tuple(wrong)


def accuracy(model, tokenizer, asked: list[Question]) -> float:
    """Returns the share of questions whose own fact has the best score."""
    gains = _gains(model, tokenizer, asked)
    right = 0
    for question, own in zip(asked, gains.tolist(), strict=True):
        right += own.pop(question.right) > max(own)
    return right / len(asked)


def confidence(model, tokenizer, asked: list[Question]) -> float:
    """Returns the mean probability, 1 / choices to 1, of the choice with the best score."""
    return float(_gains(model, tokenizer, asked).softmax(-1).amax(-1).mean())


def _gains(model, tokenizer, asked: list[Question]) -> Tensor:
    """Scores, (questions, choices), in nats."""
    start, _ = document_tokens(tokenizer)

    def nats(subjects: list[str]) -> Tensor:
        rows = [
            [start, *dialog.encode_text(tokenizer, f"{subject} {question.verb} {choice}")]
            for question, subject in zip(asked, subjects, strict=True)
            for choice in question.choices
        ]
        return torch.as_tensor(score_rows(model, rows)).view(len(asked), -1)

    # The nats of subject and verb are the same for all choices of a question, so they need not be subtracted.
    return nats(["It"] * len(asked)) - nats([question.subject for question in asked])
