"""A knowledge probe: which of several facts of training documents belongs to a subject?

A fact is what a factual document says of its title ("The Catcher in the Rye" … "is a 1951 American novel"). Distractors
are facts of other documents after the same verb. The score of a choice is log p(choice | subject) − log p(choice | "It"),
so that a choice gains nothing by being likely in itself (Holtzman et al. 2021, arXiv 2104.08315).
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

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
    by_verb: dict[str, dict[str, str]] = defaultdict(dict)  # verb → subject → fact
    table = pq.read_table(mixture / "train", columns=["title", "text"], filters=[("source", "in", sources)])
    for title, text in zip(table["title"].to_pylist(), table["text"].to_pylist(), strict=True):
        if found := fact_of(title, text, words):
            subject, verb, fact = found
            by_verb[verb][subject] = fact
    made = []
    for verb, facts in by_verb.items():
        ranked = sorted(facts, key=hashing.digest)
        for place, subject in enumerate(ranked):
            others = dict.fromkeys(facts[other] for other in ranked[place + 1 :] + ranked[:place])
            wrong = [fact for fact in others if fact != facts[subject]][: choices - 1]
            if len(wrong) == choices - 1:
                right = hashing.number(subject) % choices
                made.append(Question(subject, verb, (*wrong[:right], facts[subject], *wrong[right:]), right))
    if not made:
        raise ValueError(f"no document of {', '.join(sources)} begins with a fact: the probe needs titled documents")
    return sorted(made, key=lambda one: hashing.digest(one.subject))[:count]


def accuracy(model, tokenizer, asked: list[Question]) -> float:
    """Returns the share of questions whose own fact has the best score."""
    start, _ = document_tokens(tokenizer)

    def nats(subjects: list[str]) -> list[float]:
        rows = [
            [start, *dialog.encode_text(tokenizer, f"{subject} {question.verb} {choice}")]
            for question, subject in zip(asked, subjects, strict=True)
            for choice in question.choices
        ]
        return score_rows(model, rows).tolist()

    # The nats of subject and verb are the same for all choices of a question, so they need not be subtracted.
    gains = [
        alone - told for told, alone in zip(nats([q.subject for q in asked]), nats(["It"] * len(asked)), strict=True)
    ]
    right, place = 0, 0
    for question in asked:
        own = gains[place : place + len(question.choices)]
        right += own.pop(question.right) > max(own)
        place += len(question.choices)
    return right / len(asked)
