"""Rewrites an answer by rule, so that it obeys a constraint on its form (verifiable.py).

Every word of the result is the answer's own or is named by the constraint. No rule can translate.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from modeling.dialogues import form_rules, instructions
from modeling.dialogues.form_rules import BULLET, NUMBERED, WORD, sentences

# Words that begin a sentence with a capital letter only because they begin it.
_COMMON = frozenset(
    ["the", "a", "an", "it", "its", "it's", "this", "that", "these", "those", "there", "they", "he", "she", "we", "you",
     "your", "in", "on", "at", "for", "if", "when", "as", "yes", "no", "here", "some", "one", "to", "while", "sure"]
)  # fmt: skip


def rewritten(constraints: Sequence[str], answer: str, ended: bool) -> str | None:
    """The answer in the form that all constraints ask for; None if nothing is left of it.

    An answer that was cut off (`ended` is false) loses its last, unfinished sentence. The result need not obey: check it.
    """
    found = sentences(answer)
    if not ended and found and not found[-1].endswith((".", "!", "?")):
        found = found[:-1]
    values = dict(instructions.kind_and_value(one) for one in constraints)
    if "avoids" in values:
        found = [one for one in found if form_rules.avoids(values["avoids"], one)]
    if "sentences" in values:
        found = found[: int(values["sentences"])]
    if "words_below" in values:
        found = _fitting(found, int(values["words_below"]))
    found = [NUMBERED.sub("", BULLET.sub("", one)) for one in found]
    text = _laid_out(found, values)
    if not text:
        return None
    if "no_commas" in values:
        text = re.sub(r",(?=\D|$)|(?<=\D),", "", text)  # "1,000" has none that a reader would miss
    if "begins_with" in values:
        text = f"{values['begins_with']}, {_within_a_sentence(text)}"
    if "ends_with" in values:
        text = f"{text} {values['ends_with']}"
    return text.lower() if "lower_case" in values else text


def _laid_out(found: Sequence[str], values: dict[str, int | str]) -> str:
    """The sentences as the list or the paragraphs asked for, else as one paragraph."""
    if "bullets" in values:
        return "\n".join(f"- {one}" for one in found[: int(values["bullets"])])
    if "numbered" in values:
        return "\n".join(f"{number}. {one}" for number, one in enumerate(found[: int(values["numbered"])], 1))
    count = min(int(values.get("paragraphs", 1)), len(found))
    bounds = [len(found) * place // count for place in range(count + 1)] if count else []
    return "\n\n".join(" ".join(found[begin:end]) for begin, end in pairwise(bounds))


def _fitting(found: Sequence[str], below: int) -> list[str]:
    """The first sentences that together have fewer than `below` words."""
    kept: list[str] = []
    for sentence in found:
        if len(WORD.findall(" ".join([*kept, sentence]))) >= below:
            break
        kept.append(sentence)
    return kept


def _within_a_sentence(text: str) -> str:
    first = re.split(r"[\s,]", text, maxsplit=1)[0]
    return text[:1].lower() + text[1:] if first.lower() in _COMMON else text
