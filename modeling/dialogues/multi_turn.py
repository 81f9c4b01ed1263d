"""Earlier turns before a prompt, which make it multi-turn.

A third of the paper's adversarial prompts are dialogues (4.4: 623 of 1,974). A small model that learns refusals on
first messages alone answers adversarial prompts that follow two harmless turns. Dialogue length and an earlier refusal
must not predict whether the prompt is adversarial, so every kind of prompt gets earlier turns at the same share.
Earlier turns use no held-out entity and not the prompt's own entity. Their answers have weight 0, that is, no loss, as
with Ghost Attention (3.3).
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from modeling.dialogues import questions, splits
from modeling.dialogues.adversarial_prompts import OwnedPrompt
from modeling.dialogues.dialogue_sources import Conversation
from modeling.dialogues.questions import Subject
from modeling.dialogues.safety_sources import SafeAnswer

MOST_WORDS = 30  # of an earlier answer of one sentence, so that two exchanges, a prompt and its answer fit the context
TWO_EXCHANGES = 1 / 3  # of the prompts that have earlier turns


@dataclass(frozen=True)
class Exchange:
    """A question with its true answer, or an adversarial request with a refusal."""

    question: str
    answer: str
    entity: str


@dataclass(frozen=True)
class Pool:
    """Candidates for earlier turns, in collections drawn equally often: reference texts, conversation, refusals."""

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

    `refusals` fit any adversarial prompt; each refusable prompt of `part` is paired with one of them.
    """
    facts = [Exchange(questions.question(one), one.sentences[0], one.entity) for one in known]
    talk = [Exchange(one.turns[0], one.turns[1], splits.about(one.turns[0])) for one in conversations]
    mine = [[one for one in collection if _brief(one) and _owned(one, part)] for collection in (facts, talk)]
    mine.append(declined(owned, refusals, part))
    found = (tuple(one for one in collection if one.entity not in elsewhere) for collection in mine)
    return Pool(tuple(collection for collection in found if collection))


def declined(owned: Iterable[OwnedPrompt], refusals: Sequence[SafeAnswer], part: str) -> list[Exchange]:
    """The refusable adversarial requests of `part`, each with one of the refusals; none without refusals."""
    return [
        Exchange(one.request.prompt, splits.pick(refusals, one.request.prompt, "declined").answer, one.group)
        for one in owned
        if one.part == part and one.request.refusable and refusals
    ]


def after_refusal(row: dict, refused: Sequence[Exchange]) -> dict:
    """The row with one refused request after its system prompt, as context. `refused` must not be empty."""
    one = splits.pick(refused, row["id"], "after a refusal")
    place = int(row["messages"][0]["role"] == "system")
    before = exchange(one.question, one.answer)
    return row | {"messages": [*row["messages"][:place], *before, *row["messages"][place:]]}


def _brief(one: Exchange) -> bool:
    return len(one.answer.split()) <= MOST_WORDS and len(questions.split_sentences(one.answer)) == 1


def _owned(one: Exchange, part: str) -> bool:
    return splits.part_of(one.entity, splits.KNOWLEDGE) == part


def with_earlier_turns(row: dict, said: Pool, share: float) -> dict:
    """The row (id, entity, messages) with one or two exchanges after its system prompt; `share` of all rows get some.

    A hash of the id selects the rows. A row that is multi-turn already is returned as it is.
    """
    if splits.unit(row["id"], "earlier turns") >= share or not said.collections or is_multi_turn(row["messages"]):
        return row
    wanted = 2 if splits.unit(row["id"], "two exchanges") < TWO_EXCHANGES else 1
    drawn = dict.fromkeys(_draw(said, f"{row['id']} {place}") for place in range(wanted))
    before = [message for one in drawn if one.entity != row["entity"] for message in exchange(one.question, one.answer)]
    place = int(row["messages"][0]["role"] == "system")
    return row | {"messages": [*row["messages"][:place], *before, *row["messages"][place:]]}


def exchange(question: str, answer: str) -> list[dict]:
    """A question and its answer as two messages of context; the answer has weight 0, so it carries no loss."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer, "weight": 0}]


def as_context(messages: Iterable[dict]) -> list[dict]:
    """The messages with weight 0 on every answer: they carry no loss."""
    return [message | {"weight": 0} if message["role"] == "assistant" else message for message in messages]


def _draw(said: Pool, key: str) -> Exchange:
    collection = splits.pick(said.collections, key, "collection")
    return splits.pick(collection, key, "exchange")


def is_multi_turn(messages: Sequence[dict]) -> bool:
    """Whether the dialogue has more than one user message."""
    return sum(message["role"] == "user" for message in messages) > 1
