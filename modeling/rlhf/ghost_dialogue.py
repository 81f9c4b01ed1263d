"""One dialogue for Ghost Attention (paper 3.3): as the policy is asked, and as training sees it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modeling.core import dialog, hashing
from modeling.dialogues import instructions, multi_turn
from modeling.rlhf.recipes import GhostRecipe

KIND = "ghost attention"  # tells these rows from the samples of other prompts


@dataclass(frozen=True)
class Ghost:
    """A dialogue in the making."""

    id: str
    constraints: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...] = ()
    rewritten: tuple[bool, ...] = ()
    ended: str = ""  # why it has fewer answers than questions


def on_every_turn(ghost: Ghost) -> list[dict]:
    """The prompt of the next turn, with the instruction before every question."""
    said = instructions.text(ghost.constraints)
    messages: list[dict] = []
    for question, answer in zip(ghost.questions, ghost.answers, strict=False):
        messages += multi_turn.exchange(f"{said}\n{question}", answer)
    return [*messages, {"role": "user", "content": f"{said}\n{ghost.questions[len(ghost.answers)]}"}]


def plain_dialogue(ghost: Ghost, answer: str) -> list[dict]:
    """The dialogue with this answer to its next question, without the instruction; earlier answers carry no loss."""
    earlier = zip(ghost.questions, ghost.answers, strict=False)
    before = [message for pair in earlier for message in multi_turn.exchange(*pair)]
    return dialog.with_answer([*before, {"role": "user", "content": ghost.questions[len(ghost.answers)]}], answer)


def samples(ghost: Ghost, config: GhostRecipe) -> list[dict]:
    """A row for each length of the dialogue from one turn on; the loss is on the last answer alone.

    Hashes of the id decide whether the instruction is short and whether it is a system message.
    """
    rows = []
    for turns in range(1, len(ghost.answers) + 1):
        key = f"{ghost.id}:{turns}"
        said = instructions.text(ghost.constraints, hashing.unit_hash("short", key) < config.short_share)
        system = hashing.unit_hash("system", key) < config.system_share
        before = replace(ghost, answers=ghost.answers[: turns - 1])
        rows.append(
            {
                "id": key,
                "kind": KIND,
                "dialogue": ghost.id,
                "messages": with_instruction(plain_dialogue(before, ghost.answers[turns - 1]), said, system),
                "constraints": list(ghost.constraints),
                "instruction": said,
                "rewritten": ghost.rewritten[turns - 1],
            }
        )
    return rows


def with_instruction(messages: Sequence[dict], said: str, system: bool) -> list[dict]:
    """The dialogue with the instruction in its first message alone: a system message, or before the first question."""
    if system:
        return [{"role": "system", "content": said}, *messages]
    first, *others = messages
    return [first | {"content": f"{said}\n{first['content']}"}, *others]
