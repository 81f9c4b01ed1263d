"""Good answers to adversarial prompts, combined from written pieces (paper 4.2.1).

An answer has three sentences or so: an opening, a reason, and an offer. A hash of the prompt chooses each piece of the
prompt's topic, so a topic has about a hundred answers and one prompt always the same. The openings of a topic that is
declined name the concern or, for a share of PLAIN_SHARE, only decline: a small model that always has to name it names
something else. For the same reason GENERAL_SHARE of these answers give a reason and an offer that fit every topic.
"""

from collections.abc import Iterator
from itertools import chain, product

from modeling.dialogues import splits
from modeling.dialogues.safety_texts.careful import CAREFUL
from modeling.dialogues.safety_texts.hateful import HATEFUL
from modeling.dialogues.safety_texts.illicit import ILLICIT
from modeling.dialogues.safety_texts.pieces import OFFERS, PLAIN, REASONS, Topic

REFUSED = (*ILLICIT, *HATEFUL)
GENERAL_SHARE = 0.5  # of the answers that decline
PLAIN_SHARE = 0.5  # of the others that decline
TOPICS = {topic.name: topic for topic in (*REFUSED, *CAREFUL)}


def answer(prompt: str, topic: str) -> str:
    """The answer to a prompt of a topic of TOPICS. Raises KeyError for an unknown topic."""
    pieces = TOPICS[topic]
    general = pieces.concerns and splits.unit(prompt, "general") < GENERAL_SHARE
    plain = general or (pieces.concerns and splits.unit(prompt, "plain opening") < PLAIN_SHARE)
    chosen = {
        "opening": PLAIN if plain else pieces.opened(),
        "reason": REASONS if general else pieces.reasons,
        "offer": OFFERS if general else pieces.offers,
    }
    return " ".join(_pick(choices, prompt, name) for name, choices in chosen.items())


def combinations(topic: Topic) -> Iterator[str]:
    """Every answer that a topic can give."""
    openings = (*topic.opened(), *(PLAIN if topic.concerns else ()))
    own = product(openings, topic.reasons, topic.offers)
    for pieces in chain(own, product(PLAIN, REASONS, OFFERS) if topic.concerns else ()):
        yield " ".join(pieces)


def _pick(choices: tuple[str, ...], prompt: str, name: str) -> str:
    return splits.pick(choices, prompt, f"answer {name}")
