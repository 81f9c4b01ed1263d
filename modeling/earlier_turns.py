"""Earlier turns before a prompt: people ask, and attack, in the middle of a conversation too.

A third of the paper's adversarial prompts are dialogues (4.4: 623 of 1,974). A small model that was taught to decline on
first messages alone answers after two harmless turns what it declines at once. Every kind of prompt gets earlier turns at the
same share, so that how long a talk has gone on says nothing about what comes next. Nothing that is asked, or held out, anywhere
else is said before: fine-tuning learns these answers too.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from modeling import questions, splits
from modeling.dialogue_sources import Conversation
from modeling.questions import Subject

MOST_WORDS = 30  # an earlier answer is one sentence: two exchanges, a prompt and its answer fit in the smallest context
TWO_EXCHANGES = 1 / 3  # of the prompts that have earlier turns


@dataclass(frozen=True)
class Exchange:
    """A question with its true answer."""

    question: str
    answer: str
    entity: str


@dataclass(frozen=True)
class Pool:
    """What may have been said before: about reference texts, and in conversation, each as often as the other."""

    collections: tuple[tuple[Exchange, ...], ...]


def pool(known: Iterable[Subject], conversations: Iterable[Conversation], part: str, elsewhere: Container[str]) -> Pool:
    """The exchanges that belong to `part` of the split, without the entities in `elsewhere`."""
    facts = [Exchange(questions.question(one), one.sentences[0], one.entity) for one in known]
    talk = [Exchange(one.turns[0], one.turns[1], splits.about(one.turns[0])) for one in conversations]
    found = (
        tuple(one for one in collection if _brief(one) and _owned(one, part) and one.entity not in elsewhere)
        for collection in (facts, talk)
    )
    return Pool(tuple(collection for collection in found if collection))


def _brief(one: Exchange) -> bool:
    return len(one.answer.split()) <= MOST_WORDS and len(questions.split_sentences(one.answer)) == 1


def _owned(one: Exchange, part: str) -> bool:
    return splits.part_of(one.entity, splits.KNOWLEDGE) == part


def with_earlier_turns(row: dict, said: Pool, share: float) -> dict:
    """The row (id, entity, messages) with one or two exchanges after its system prompt; `share` of all rows get some.

    Which ones is decided by a hash of the id.
    """
    if splits.unit(row["id"], "earlier turns") >= share or not said.collections:
        return row
    wanted = 2 if splits.unit(row["id"], "two exchanges") < TWO_EXCHANGES else 1
    drawn = [_draw(said, f"{row['id']} {place}") for place in range(wanted)]
    before = [
        {"role": role, "content": content}
        for one in dict.fromkeys(drawn)
        for role, content in (("user", one.question), ("assistant", one.answer))
    ]
    place = int(row["messages"][0]["role"] == "system")
    return row | {"messages": [*row["messages"][:place], *before, *row["messages"][place:]]}


def _draw(said: Pool, key: str) -> Exchange:
    collection = _pick(said.collections, key, "collection")
    return _pick(collection, key, "exchange")


def _pick(items: Sequence, key: str, salt: str):
    return items[int(splits.unit(key, salt) * len(items))]


def is_multi_turn(messages: Sequence[dict]) -> bool:
    """Whether somebody asked before."""
    return sum(message["role"] == "user" for message in messages) > 1
