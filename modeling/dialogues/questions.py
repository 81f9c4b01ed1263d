"""Questions with true answers from reference texts: the opening of an encyclopedia article answers "What is <title>?".

Answers are unchanged sentences of the text; only the questions are templates.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from modeling.dialogues import splits

_END = re.compile(r"(?P<word>\S*?)[.!?][\"”’)\]]*\s+(?=[\"“(\[]?[A-Z0-9])")
# Abbreviations whose full stop does not end a sentence. An initial's does not either.
_ABBREVIATIONS = frozenset(
    ["st", "mr", "mrs", "ms", "dr", "vs", "c", "ca", "no", "jr", "sr", "lt", "mt", "fl", "lit", "etc", "rev", "gen", "col",
     "prof", "inc", "e.g", "i.e", "b.c", "a.d", "u.s", "u.k"]
)  # fmt: skip
_VERB = re.compile(r"\b(is|are|was|were)\b")


@dataclass(frozen=True)
class Subject:
    """A titled reference text with what a question about it needs."""

    entity: str
    name: str  # as it stands in a question: "the Dead Sea", "engraving", "Carl Linnaeus"
    verb: str  # is | are | was | were, from the text's own first sentence
    person: bool
    sentences: tuple[str, ...]
    description: str  # the source's short description, or ""
    topic: str
    source: str


def subjects(mixture: Path) -> list[Subject]:
    """Every English document of mixture/train whose first sentence defines its title, in hash order.

    Returns one per entity, even if several snapshots hold the title. Raises ValueError if the mixture has no shards.
    """
    paths = sorted((mixture / "train").glob("*.parquet"))
    if not paths:
        raise ValueError(f"no train/*.parquet in {mixture}: materialize the mixture first")
    rows = [row for path in paths for row in _titled(path)]
    common = common_words(row["text"] for row in rows)
    found: dict[str, Subject] = {}
    for row in rows:
        made = subject(row, common)
        if made is not None:
            found.setdefault(made.entity, made)
    return sorted(found.values(), key=lambda one: splits.unit(one.entity, "order"))


def _titled(path: Path) -> Iterator[dict]:
    columns = ["title", "text", "meta", "source"]
    has_language = "lang" in pq.read_schema(path).names
    for row in pq.read_table(path, columns=[*columns, "lang"] if has_language else columns).to_pylist():
        if row["title"] and row.get("lang", "en") == "en":
            yield row


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """Words that occur at least three times in lower case, and more often so than capitalised within a sentence."""
    small: Counter[str] = Counter()
    large: Counter[str] = Counter()
    for text in texts:
        small.update(re.findall(r"\b[a-z][a-z'-]+\b", text))
        large.update(word.lower() for word in re.findall(r"(?<=[a-z,;] )[A-Z][a-z'-]+\b", text))
    return frozenset(word for word, count in small.items() if count >= 3 and count > large[word])


def subject(row: dict, common: frozenset[str]) -> Subject | None:
    """The subject of a document; None if its first sentence does not define its title. `common`: see `common_words`."""
    text = " ".join(row["text"].replace("\u00a0", " ").split())
    title = re.sub(r"\s*\([^)]*\)$", "", row["title"]).strip()
    sentences = split_sentences(text)
    if not sentences or not title:
        return None
    opening = sentences[0]
    verb = _VERB.search(opening)
    if not verb or verb.start() > 160 or sentences[-1][-1] not in ".!?\"”'":
        return None
    start = re.sub(r"^In [^,]+, ", "", opening[: verb.start()].strip())
    before = re.split(r"\s*[(,;]|\s+or\s+", start)[0].strip()
    if title.lower() not in opening[: verb.start()].lower() or not before:
        return None
    meta = json.loads(row["meta"] or "{}")
    description, topic = str(meta.get("description") or ""), str(meta.get("topic") or "")
    person = topic == "People" or (topic in ("", "Uncategorized") and _lived(description))
    name = title
    if not person and len(before.split()) <= len(title.split()) + 1 and title.lower() in before.lower():
        name = before
    return Subject(
        entity=splits.about(title),  # "Mercury (planet)" and "Mercury (element)" ask the same question
        name=name if person else _inside_a_sentence(name, common),
        verb=verb[1],
        person=person,
        sentences=sentences,
        description=description,
        topic=topic,
        source=row["source"],
    )


def _lived(description: str) -> bool:
    """Whether it ends with the years of a life: "(born 1954)", or a span of 20 to 105 years such as "(1707–1778)"."""
    years = re.search(r"\((?:born (\d{4})|(?:c\. )?(\d{3,4})\s*[–-]\s*(?:c\. )?(\d{3,4}))\)$", description.strip())
    return bool(years) and (years[1] is not None or 20 <= int(years[3]) - int(years[2]) <= 105)


def question(subject: Subject, salt: str = "") -> str:
    """A question about the subject; the form is fixed by entity and salt."""
    word = "Who" if subject.person else "What"
    who_it_is = f"{word.lower()} {subject.name} {subject.verb}"
    if not subject.person and subject.verb in ("are", "were") and not subject.name.endswith("s"):
        return f"Tell me about {subject.name}."  # the text is in the plural, the title in the singular
    forms = (
        *[f"{word} {subject.verb} {subject.name}?"] * 6,
        f"Tell me about {subject.name}.",
        f"Can you tell me {who_it_is}?",
        # Adversarial prompts begin like this too: without these, a small model learns to refuse every such opening.
        f"Describe {subject.name}.",
        f"Explain {who_it_is}.",
        f"Write something about {subject.name}.",
        f"Give me some information about {subject.name}.",
        f"How would you describe {subject.name}?",
        f"How do I explain {who_it_is}?",
        f"How can I find out {who_it_is}?",
        f"What should I know about {subject.name}?",
        f"Can you give me a short description of {subject.name}?",
        f"Provide a short introduction to {subject.name}.",
        f"I want to know {who_it_is}.",
        f"Help me understand {who_it_is}.",
    )
    return splits.pick(forms, subject.entity, f"form{salt}")


def follow_up(subject: Subject) -> str:
    """A request to hear more about the subject; the form is fixed by the entity."""
    forms = (
        "Tell me more.",
        "Tell me more about that.",
        "Go on, please.",
        "What else is there to know?",
        "Can you say more about it?",
    )
    return splits.pick(forms, subject.entity, "follow-up")


def answer(subject: Subject, max_words: int, start: int = 0) -> tuple[str, int]:
    """(whole sentences from `start` on that fit in `max_words`, index of the next one); ("", start) if none fits."""
    return _whole(subject.sentences, max_words, start)


def answer_text(text: str, max_words: int) -> tuple[str, int]:
    """As `answer`, for any one-line text."""
    return _whole(split_sentences(text), max_words, 0)


def _whole(sentences: tuple[str, ...], max_words: int, start: int) -> tuple[str, int]:
    taken: list[str] = []
    count = 0
    for sentence in sentences[start:]:
        count += len(sentence.split())
        if count > max_words:
            break
        taken.append(sentence)
    return " ".join(taken), start + len(taken)


def split_sentences(text: str) -> tuple[str, ...]:
    """Sentences of a one-line English text. Initials and common abbreviations do not end a sentence."""
    found, start = [], 0
    for match in _END.finditer(text):
        word = match["word"].lstrip('(["“')
        if word.lower() in _ABBREVIATIONS or re.fullmatch(r"[A-Z](?:\.[A-Z])*", word):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    return (*found, text[start:].strip()) if text[start:].strip() else tuple(found)


def _inside_a_sentence(name: str, common: frozenset[str]) -> str:
    """The name, with a lower-case first letter if it begins with an article or a common noun."""
    first, *others = name.split()
    small = name[:1].lower() + name[1:]
    if first in ("A", "An", "The"):
        return small
    # Titles are in sentence case: if all other words are lower case, only a first word that is a name makes it a name
    # ("Dead sea").
    return small if first.lower() in common and all(word.islower() for word in others) else name
