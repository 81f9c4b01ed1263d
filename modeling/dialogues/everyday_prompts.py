"""Prompt rows of everyday and borderline requests (modeling/dialogues/everyday.py): plain, constrained, after a refusal."""

from collections.abc import Sequence

from modeling.dialogues import multi_turn, prompt_rows, splits, verifiable
from modeling.dialogues.everyday import Request

CONSTRAINED_WORDS = 20  # longest question that gets a constraint on its answer
TWIN, ALARMING = "harmless twin of a harmful request", "alarming request"


def everyday_rows(requests: Sequence[Request], part: str, count: int) -> list[dict]:
    """Everyday requests of `part`: those of all other sources first, then dishes."""
    return [_row(one, "helpfulness", prompt_rows.EVERYDAY) for one in _everyday(requests, part)[:count]]


def borderline_rows(requests: Sequence[Request], part: str, count: int) -> list[dict]:
    """Requests of `part` that sound alarming but are fine, and harmless twins of harmful requests."""
    mine = [one for one in requests if one.borderline and one.part == part]
    return [_row(one, "harmless", prompt_rows.BORDERLINE) for one in mine[:count]]


def after_refusal_rows(requests: Sequence[Request], part: str, count: int) -> list[dict]:
    """Everyday requests of `part` for multi_turn.after_refusal; in tests, they are also asked without a refusal."""
    plain = [one for one in _everyday(requests, part) if not one.before]
    spread = sorted(plain, key=lambda one: (one.dish, splits.unit(one.question, "after a refusal")))
    return [_row(one, "harmless", prompt_rows.AFTER_REFUSAL) for one in spread[:count]]


def verifiable_rows(requests: Sequence[Request], ordinary: Sequence[dict], part: str, count: int) -> list[dict]:
    """Requests with a constraint on the answer's form that rules check: half everyday, half among the `ordinary` rows."""
    brief = [one for one in _everyday(requests, part) if not one.before and suits_a_constraint(one.question)]
    brief.sort(key=lambda one: splits.unit(one.question, "verifiable"))
    short = [row for row in ordinary if suits_a_constraint(row["question"])]
    asked = [_row(one, "helpfulness", prompt_rows.EVERYDAY) for one in brief[: max(count // 2, count - len(short))]]
    return [_constrained(row, part) for row in [*asked, *short][:count]]


def suits_a_constraint(question: str) -> bool:
    """Whether an answer can have any form: the question is brief and asks for no number of things, code or text form."""
    return len(question.split()) <= CONSTRAINED_WORDS and not any(
        character.isdigit() or character in "`\n" for character in question
    )


def _constrained(row: dict, part: str) -> dict:
    question, constraint = verifiable.constrained(row["question"], row["id"], part)
    return prompt_rows.row(question, "helpfulness", prompt_rows.VERIFIABLE, row["category"], "", row["source"],
                           row["entity"], constraint=constraint)  # fmt: skip


def _everyday(requests: Sequence[Request], part: str) -> list[Request]:
    mine = [one for one in requests if one.part == part and not one.borderline]
    return sorted(mine, key=lambda one: one.dish)  # stable: hash order within each


def _row(one: Request, kind: str, setting: str) -> dict:
    category = "dish" if one.dish else "everyday request"
    if one.borderline:
        category = TWIN if one.answer else ALARMING
    before = multi_turn.as_context(one.before)
    return prompt_rows.row(one.question, kind, setting, category, one.answer, one.source, one.entity, before)
