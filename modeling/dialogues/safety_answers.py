"""Good answers to adversarial prompts, combined from written pieces (paper 4.2.1).

An answer has three sentences or so: an opening that names the concern, a reason, and an offer. A hash of the prompt
chooses each piece of the prompt's topic, so a topic has about a hundred answers and one prompt always the same.
"""

from collections.abc import Iterator
from itertools import product

from modeling.dialogues import splits
from modeling.dialogues.safety_texts.careful import CAREFUL
from modeling.dialogues.safety_texts.hateful import HATEFUL
from modeling.dialogues.safety_texts.illicit import ILLICIT
from modeling.dialogues.safety_texts.pieces import Topic

REFUSED = (*ILLICIT, *HATEFUL)
TOPICS = {topic.name: topic for topic in (*REFUSED, *CAREFUL)}


def answer(prompt: str, topic: str) -> str:
    """The answer to a prompt of a topic of TOPICS. Raises KeyError for an unknown topic."""
    pieces = TOPICS[topic]
    return " ".join(
        _pick(choices, prompt, name)
        for name, choices in (("opening", pieces.opened()), ("reason", pieces.reasons), ("offer", pieces.offers))
    )


def combinations(topic: Topic) -> Iterator[str]:
    """Every answer that a topic can give."""
    for pieces in product(topic.opened(), topic.reasons, topic.offers):
        yield " ".join(pieces)


def _pick(choices: tuple[str, ...], prompt: str, name: str) -> str:
    return splits.pick(choices, prompt, f"answer {name}")
