"""Earlier turns before a prompt: people ask, and attack, in the middle of a conversation too.

A third of the paper's adversarial prompts are dialogues (4.4: 623 of 1,974). A small model that was taught to decline on
first messages alone answers after two harmless turns what it declines at once. Every kind of prompt gets earlier turns at the
same share, so that how long a talk has gone on says nothing about what comes next: nor does a request that was declined just
before. Nothing held out is said before, nor what the prompt is about. Answers put before it have weight 0: they are not
learnt, as with Ghost Attention (3.3).
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from modeling.dialogues import questions, splits
from modeling.dialogues.dialogue_sources import Conversation
from modeling.dialogues.questions import Subject
from modeling.dialogues.safety_sources import OwnedPrompt, SafeAnswer

MOST_WORDS = 30  # of an earlier answer, one sentence: two exchanges, a prompt and its answer fit in any context
TWO_EXCHANGES = 1 / 3  # of the prompts that have earlier turns


@dataclass(frozen=True)
class Exchange:
    """A question with its true answer, or a request with one that declines it."""

    question: str
    answer: str
    entity: str


@dataclass(frozen=True)
class Pool:
    """What may have been said before: about reference texts, in conversation, and declined, each as often as the others."""

    collections: tuple[tuple[Exchange, ...], ...]


def pool(
    known: Iterable[Subject],
    conversations: Iterable[Conversation],
    owned: Iterable[OwnedPrompt],
    refusals: Sequence[SafeAnswer],
    part: str,
    elsewhere: Container[str],
) -> Pool:
    """The exchanges that belong to `part` of the split, without the entities in `elsewhere`.

    `refusals` fit any adversarial prompt; each of those of `part` is declined with one of them.
    """
    facts = [Exchange(questions.question(one), one.sentences[0], one.entity) for one in known]
    talk = [Exchange(one.turns[0], one.turns[1], splits.about(one.turns[0])) for one in conversations]
    mine = [[one for one in collection if _brief(one) and _owned(one, part)] for collection in (facts, talk)]
    requests = [one for one in owned if one.part == part and one.request.refusable and refusals]
    mine.append([Exchange(one.request.prompt, _pick(refusals, one.request.prompt, "declined").answer, one.group)
                 for one in requests])  # fmt: skip
    found = (tuple(one for one in collection if one.entity not in elsewhere) for collection in mine)
    return Pool(tuple(collection for collection in found if collection))


def _brief(one: Exchange) -> bool:
    return len(one.answer.split()) <= MOST_WORDS and len(questions.split_sentences(one.answer)) == 1


def _owned(one: Exchange, part: str) -> bool:
    return splits.part_of(one.entity, splits.KNOWLEDGE) == part


def with_earlier_turns(row: dict, said: Pool, share: float) -> dict:
    """The row (id, entity, messages) with one or two exchanges after its system prompt; `share` of all rows get some.

    Which ones is decided by a hash of the id. A dialogue that has earlier turns of its own keeps them.
    """
    if splits.unit(row["id"], "earlier turns") >= share or not said.collections or is_multi_turn(row["messages"]):
        return row
    wanted = 2 if splits.unit(row["id"], "two exchanges") < TWO_EXCHANGES else 1
    drawn = dict.fromkeys(_draw(said, f"{row['id']} {place}") for place in range(wanted))
    before = [message for one in drawn if one.entity != row["entity"] for message in exchange(one.question, one.answer)]
    place = int(row["messages"][0]["role"] == "system")
    return row | {"messages": [*row["messages"][:place], *before, *row["messages"][place:]]}


def exchange(question: str, answer: str) -> list[dict]:
    """Two messages of context: the answer is not learnt."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer, "weight": 0}]


def _draw(said: Pool, key: str) -> Exchange:
    collection = _pick(said.collections, key, "collection")
    return _pick(collection, key, "exchange")


def _pick(items: Sequence, key: str, salt: str):
    return items[int(splits.unit(key, salt) * len(items))]


def is_multi_turn(messages: Sequence[dict]) -> bool:
    """Whether somebody asked before."""
    return sum(message["role"] == "user" for message in messages) > 1
