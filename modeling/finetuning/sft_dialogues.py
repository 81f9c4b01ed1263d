"""The dialogues of supervised fine-tuning: the written demonstrations, and beside them a checkpoint's own best answers.

A checkpoint that already answers well would lose that on short written answers alone. So it answers some of the
demonstrations' harmless prompts itself, and requests: those of the sources without an answer, those that it wrote
(dialogues/synthetic_requests.py) and some of written forms (dialogues/own_requests.py), `samples` times each. The best
answer is a demonstration too (rejection sampling, paper 3.2.3, before there is a reward model). An answer that refuses,
opens as a refusal does, repeats itself or the question, or disobeys a constraint is never kept; a rule rewrites one to
obey, if it can (dialogues/form_rewriting.py). An answer that was cut off ends with its last whole sentence or item of a
list, if enough is left. Some answers stand a second time, right after a refused request or rewritten for a constraint. A
model from random weights has no answers of its own: it learns the written ones.
"""

import collections
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.files import replacing
from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation
from modeling.core.recipes import OwnAnswersRecipe
from modeling.core.resumable_generation import plain
from modeling.core.sampling import Answer
from modeling.core.verdicts import has_weights
from modeling.dialogues import (
    answer_rules,
    everyday_prompts,
    form_rewriting,
    multi_turn,
    questions,
    splits,
    synthetic_requests,
    verifiable,
)
from modeling.dialogues.demonstrations import AFTER_REFUSAL, SCHEMA
from modeling.dialogues.own_requests import SOURCE, own_requests

OWN = "own answer"
REPEATED = 0.2  # most share of repeated word trigrams
LEAST_WORDS = 25  # left of an answer that was cut off
LEAST_ITEMS = 2  # whole items left of a list that was cut off
_ITEM = re.compile(r"^[ \t]*(?:\d+[.)]|[-*•#])", re.MULTILINE)
# "I'm sorry for any confusion, but as a recipe AI I don't have the capability to …" refuses in other words, and even
# where help follows, it teaches to begin so.
_APOLOGY = re.compile(
    r"\W*(?:I(?:['’]m| am) (?:\w+ )?(?:sorry|afraid)|I apologi[sz]e|my apologies|sorry|apologies|unfortunately"
    r"|as (?:an?|your) (?:[\w-]+ ){0,3}(?:AI|chatbot|assistant|model)\b)",
    re.IGNORECASE,
)
AGAIN_AFTER_REFUSAL = 0.3  # share of the own answers to requests that stand alone, once more after a refused request
# Times that such an answer stands with a constraint: the same request in several forms shows what the constraint does.
AGAIN_CONSTRAINED = 2
IN_A_SYSTEM_MESSAGE = 0.25  # share of these constraints
CONSTRAINED = " constrained"  # in the id of an answer to a request with a constraint
SAFETY = "safety"  # how the categories of safety demonstrations begin
SHOWN = 12


@dataclass(frozen=True)
class Question:
    """What a checkpoint is asked for an own answer."""

    id: str
    messages: list[dict]
    entity: str
    source: str
    written: str  # the demonstration's answer, or ""
    constraint: str  # verifiable.py, or ""


def run(config: OwnAnswersRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write train.parquet, test.parquet (as the demonstrations) and examples.md.

    Inputs: initial_model, demonstrations, synthetic_requests. Returns counts, with the reasons for which prompts have no
    own answer.
    """
    with replacing(out / "test.parquet") as part:
        shutil.copyfile(inputs["demonstrations"] / "test.parquet", part)
    written = pq.read_table(inputs["demonstrations"] / "train.parquet").to_pylist()
    unanswered = pq.read_table(inputs["demonstrations"] / "unanswered.parquet").to_pylist()
    synthetic = synthetic_requests.requests(inputs["synthetic_requests"], splits.DEMONSTRATIONS)
    texts = [row["question"] for row in unanswered] + [one.question for one in synthetic]
    asked = asked_questions(written, config, texts) if has_weights(inputs["initial_model"]) else []
    own, reasons = own_rows(asked, config, inputs["initial_model"], out / "_scratch", log)
    calm = again_after_refusal(own, refused_requests(written))
    formed = again_constrained([row for row in own if is_plain(row)])
    own += calm + formed
    dialogue_tables.write_rows(sorted([*written, *own], key=lambda row: row["id"]), SCHEMA, out / "train.parquet")
    reporting.write_text(out / "examples.md", examples(own))
    words = [len(row["messages"][-1]["content"].split()) for row in own]
    return {
        "written": len(written),
        "own": len(own),
        "own_again_after_refusal": len(calm),
        "own_again_constrained": len(formed),
        "own_words": round(sum(words) / max(len(words), 1), 1),
        **{f"without_{reason.replace(' ', '_')}": count for reason, count in sorted(reasons.items())},
    }


def asked_questions(written: list[dict], config: OwnAnswersRecipe, texts: Sequence[str]) -> list[Question]:
    """What the checkpoint is asked: prompts of the demonstrations, and requests for which no source has an answer.

    The given texts are requests that stand alone.
    """
    alone = [row for row in written if len(row["messages"]) == 2 and not row["category"].startswith(SAFETY)]
    answered = [plain(row["messages"]) for row in alone]
    requests = own_requests(config.requests, refused_requests(written), answered, texts)
    known = [
        Question(
            row["id"], plain(row["messages"][:-1]), row["entity"], row["source"], row["messages"][-1]["content"], ""
        )
        for row in choose(written, config.prompts)
    ]
    return known + [Question(one.id, one.messages, one.id, SOURCE, "", one.constraint) for one in requests]


def refused_requests(written: Sequence[dict]) -> list[list[dict]]:
    """Dialogues of two messages: a request and the answer that declines it, at length or briefly."""
    declined = [row["messages"] for row in written if row["category"].startswith(SAFETY) and len(row["messages"]) == 2]
    # a request after a refused one stands last, so the refused one is what stands before it
    before = [row["messages"][-4:-2] for row in written if row["category"] == AFTER_REFUSAL]
    return [plain(messages) for messages in (*declined, *before)]


def again_after_refusal(own: Sequence[dict], refused: Sequence[list[dict]]) -> list[dict]:
    """For a share of the requests that stand alone the same answer once more, right after a refused request.

    What came before must not change whether a harmless request is answered.
    """
    return [
        row | {"id": f"{row['id']} again", "messages": [*multi_turn.as_context(before), *row["messages"]]}
        for row in _alone(own)
        if refused and splits.unit(row["id"], "again after a refusal") < AGAIN_AFTER_REFUSAL
        for before in [splits.pick(refused, row["id"], "refused before")]
    ]


def again_constrained(own: Sequence[dict]) -> list[dict]:
    """The brief requests that stand alone once more, with up to AGAIN_CONSTRAINED constraints on the answer's form.

    The answer is the same, as a rule rewrites it to obey. Where no rule can there is no such dialogue. A share of the
    constraints stands in a system message.
    """
    made = []
    for row in _alone(own):
        question, answer = (message["content"] for message in row["messages"])
        if not everyday_prompts.suits_a_constraint(question):
            continue
        seen = set()
        for number in range(AGAIN_CONSTRAINED):
            key = f"{row['id']} again {number}"
            asked, constraint = verifiable.constrained(question, key, splits.DEMONSTRATIONS)
            changed = form_rewriting.rewritten([constraint], answer, ended=True)
            if constraint in seen or not changed or not verifiable.obeyed(constraint, changed):
                continue
            seen.add(constraint)
            before: list[dict] = []
            if splits.unit(key, "in a system message") < IN_A_SYSTEM_MESSAGE:
                before, asked = [{"role": "system", "content": verifiable.system_text(constraint)}], question
            messages = [*before, {"role": "user", "content": asked}, {"role": "assistant", "content": changed}]
            made.append(row | {"id": f"{row['id']}{CONSTRAINED} {number}", "messages": messages})
    return made


def _alone(own: Sequence[dict]) -> list[dict]:
    """The answers to requests, not demonstrations' prompts, that stand alone."""
    return [row for row in own if len(row["messages"]) == 2 and row["source"] == SOURCE]


def is_plain(row: dict) -> bool:
    """Whether a row is a checkpoint's own answer to a request that stands alone and has no constraint."""
    return row["category"] == OWN and bool(_alone([row])) and CONSTRAINED not in row["id"]


def choose(rows: list[dict], count: int) -> list[dict]:
    """The demonstrations whose prompts are answered again: harmless ones without a system prompt, in hash order."""
    fit = [row for row in rows if not row["category"].startswith(SAFETY) and row["messages"][0]["role"] != "system"]
    return sorted(fit, key=lambda row: hashing.unit_hash("own answers", row["id"]))[:count]


def own_rows(
    asked: list[Question], config: OwnAnswersRecipe, model: Path, scratch: Path, log: Any
) -> tuple[list[dict], collections.Counter]:
    """(a demonstration for each question with a good own answer, reason → number of questions without one)."""
    reasons: collections.Counter = collections.Counter()
    if not asked:
        return [], reasons
    rows = [{"id": one.id, "messages": one.messages} for one in asked]
    fitting = {row["id"] for row in resumable_generation.fitting(model, rows, config.sampling)}
    reasons["room in the context"] = len(asked) - len(fitting)
    asked = [one for one in asked if one.id in fitting]
    prompts = [one.messages for one in asked]
    drawn = resumable_generation.answer_all(
        model, prompts, config.sampling, config.samples, "own answers", scratch, log
    )
    own = []
    for one, answers in zip(asked, drawn, strict=True):
        best, reason = best_answer(one, answers)
        if best is None:
            reasons[reason] += 1
            continue
        messages = dialog.with_answer(multi_turn.as_context(one.messages), best)
        name = f"own:{one.id}{CONSTRAINED if one.constraint else ''}"
        own.append({"id": name, "messages": messages, "category": OWN, "source": one.source, "entity": one.entity})
    return own, reasons


def best_answer(question: Question, answers: list[Answer]) -> tuple[str | None, str]:
    """(the good answer closest to the written one in words, ""), or (None, why the last answer is not good).

    Without a written answer the first good one wins.
    """
    good, reason = [], ""
    reference = answer_rules.content_words(question.written)
    for answer in answers:
        text = answer.text if answer.ended else without_its_end(answer.text)
        said = answer_rules.words(text)
        if not answer.ended and not said:
            reason = "cut off"
        elif answer_rules.helpfulness(question.messages[-1]["content"], text, "").refuses:
            reason = "refuses"
        elif _APOLOGY.match(text):
            reason = "opens as a refusal"
        elif not said or answer_rules.repetition(said) > REPEATED:
            reason = "repeats itself"
        elif set(said) <= set(answer_rules.words(question.messages[-1]["content"])):
            reason = "repeats the question"
        elif (text := obeying(question.constraint, answer, text)) is None:
            reason = "disobeys"
        else:
            good.append((answer_rules.overlap(answer_rules.content_words(text), reference), text))
    return (max(good, key=lambda item: item[0])[1], "") if good else (None, reason)


def obeying(constraint: str, answer: Answer, text: str) -> str | None:
    """The text if it obeys the constraint, or the answer as a rule rewrites it to obey; None if no rule can."""
    if not constraint or verifiable.obeyed(constraint, text):
        return text
    changed = form_rewriting.rewritten([constraint], answer.text, answer.ended)
    return changed if changed and verifiable.obeyed(constraint, changed) else None


def without_its_end(text: str) -> str:
    """A text without its unfinished last sentence, or a list without its unfinished last item.

    Returns "" for code, for a list with fewer than LEAST_ITEMS whole items and for fewer than LEAST_WORDS words.
    """
    if "```" in text:
        return ""
    if _ITEM.search(text):
        kept = text.rpartition("\n")[0].strip()
        enough = len(_ITEM.findall(kept)) >= LEAST_ITEMS
    else:
        before, gap, last = text.rpartition("\n\n")
        *sentences, _ = questions.split_sentences(last) or ("",)
        kept, enough = f"{before}{gap}{' '.join(sentences)}".strip(), True
    return kept if enough and len(kept.split()) >= LEAST_WORDS else ""


def examples(rows: list[dict]) -> str:
    """Markdown with some prompts and the answers of the checkpoint."""
    parts = ["# The checkpoint's own answers\n"]
    for row in sorted(rows, key=lambda row: hashing.unit_hash("shown", row["id"]))[:SHOWN]:
        parts.append(
            f"{reporting.quoted_prompt(row['messages'][:-1])}\n\n{reporting.quoted(row['messages'][-1]['content'])}\n"
        )
    return "\n".join(parts)
