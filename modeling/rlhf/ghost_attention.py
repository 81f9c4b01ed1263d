"""Dialogues for Ghost Attention (paper 3.3, A.3.5): the instruction of the first message holds on every turn.

The latest policy answers RL prompts turn by turn with the instruction on every user turn. Training then sees the
instruction in the first message alone, half of the time shortened to a few words, and only the last answer carries
loss. The beginnings of a dialogue are samples of their own. So is its first turn alone: a small model disobeys there
too, and then goes on as it began.

Of several answers to a turn, the most helpful one by the reward model is kept among those that are finished and obey
by the rules. A small model often obeys with none of them. A rule then rewrites its own answers: whole sentences of a
longer answer, lower case, a word put before or after it, sentences as bullet points. This departs from the paper; a
column and the metrics say which answers are rewritten. Nothing checks whether an answer suits a public figure or a
hobby. More dialogues are composed of single answers (composed_dialogues.py).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from transformers import AutoConfig, AutoTokenizer

from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation
from modeling.core.sampling import Answer
from modeling.dialogues import answer_rules, form_rewriting, instructions, questions, splits
from modeling.rlhf import composed_dialogues, scoring
from modeling.rlhf.ghost_dialogue import Ghost, on_every_turn, plain_dialogue, samples
from modeling.rlhf.recipes import GhostRecipe

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "kind", "dialogue")),
        ("messages", dialogue_tables.MESSAGES),
        ("constraints", pa.list_(pa.string())),
        ("instruction", pa.string()),  # as it stands in the first message
        ("rewritten", pa.bool_()),  # whether a rule rewrote the last answer
    ]
)
SHOWN = 8
MOST_REPEATED = 0.4  # share of an answer's word trigrams that earlier answers of the dialogue hold


class Option(NamedTuple):
    text: str
    rewritten: bool


def run(config: GhostRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write samples.parquet and examples.md. Inputs: policy, helpfulness_reward_model, prompts, mixture (its people are
    the public figures), and demonstrations (their own answers make the composed dialogues).

    Returns counts, the share of answers that obey as drawn by turn, and why dialogues ended early. There may be no
    sample at all.
    """
    figures = [one.name for one in questions.subjects(inputs["mixture"]) if _is_figure(one)]
    ghosts = plan(resumable_generation.read_prompts(inputs["prompts"]), config, figures)
    by_turn = []
    for turn in range(config.turns):
        ghosts, drawn = answer_turn(ghosts, turn, config, inputs, out / "_scratch" / str(turn), log)
        if drawn:
            by_turn.append({"turn": turn + 1, "answers": len(drawn), "obeyed": round(sum(drawn) / len(drawn), 4)})
    answered = composed_dialogues.read_answers(inputs["demonstrations"] / "train.parquet")
    composed = composed_dialogues.compose(answered, config)
    rows = [row for ghost in (*ghosts, *composed) for row in samples(ghost, config)]
    dialogue_tables.write_rows(rows, SCHEMA, out / "samples.parquet")
    reporting.write_text(out / "examples.md", examples(rows))
    kept = [done for ghost in ghosts for done in ghost.rewritten]
    return {
        "dialogues": len(ghosts),
        "composed": len(composed),
        "dialogues_kept": len({row["dialogue"] for row in rows}),
        "samples": len(rows),
        "obeyed_as_drawn": by_turn,
        "rewritten_share": round(sum(kept) / len(kept), 4) if kept else 0.0,
        "ended_early": dict(sorted(Counter(ghost.ended for ghost in ghosts if ghost.ended).items())),
    }


def _is_figure(one: questions.Subject) -> bool:
    return one.person and splits.part_of(one.entity, splits.KNOWLEDGE) == splits.RL


def plan(rows: Sequence[dict], config: GhostRecipe, figures: Sequence[str]) -> list[Ghost]:
    """Dialogues without answers: questions of harmless RL prompts in hash order, each with an instruction of its own.

    The instruction depends on the number of the dialogue alone, so no question predicts it. A prompt that follows up on
    an earlier question brings that question along. Prompts are used again when there are too few.
    """
    usable = [row for row in rows if row["kind"] != "safety" and not row["constraint"]]
    usable.sort(key=lambda row: hashing.unit_hash("ghost", config.seed, row["id"]))
    asked = [own_questions(row) for row in usable]
    shares = instructions.Shares(config.kinds, config.unchecked_share, config.combined_share)
    ghosts, place = [], 0
    for number in range(config.dialogues if asked else 0):
        key = f"ghost {config.seed} {number}"
        wanted = 2 + int(hashing.unit_hash("turns", key) * (config.turns - 1))
        said: list[str] = []
        while len(said) < wanted:
            said += asked[place % len(asked)]
            place += 1
        constraints = instructions.draw(key, shares, splits.RL, figures)
        ghosts.append(Ghost(f"ghost:{config.seed}:{number:05d}", constraints, tuple(said[:wanted])))
    return ghosts


def own_questions(row: dict) -> list[str]:
    """The user turns that belong to the prompt: a follow-up comes with the question before it, others stand alone."""
    said = [message["content"] for message in row["messages"] if message["role"] == "user"]
    return said if " ".join(said) == row["question"] else said[-1:]


def answer_turn(
    ghosts: list[Ghost], turn: int, config: GhostRecipe, inputs: dict[str, Path], scratch: Path, log
) -> tuple[list[Ghost], list[bool]]:
    """The dialogues with the answer to question `turn` (from 0), and for each drawn answer whether it obeys.

    Only dialogues that answered all turns before go on. Answers to instructions that no rule checks do not count.
    """
    policy = inputs["policy"]
    tokenizer = AutoTokenizer.from_pretrained(policy)
    room = AutoConfig.from_pretrained(policy).max_position_embeddings - config.sampling.max_new_tokens
    going = {ghost.id: ghost for ghost in ghosts if len(ghost.answers) == turn < len(ghost.questions)}
    prompts = {key: on_every_turn(ghost) for key, ghost in going.items()}
    fitting = {key: prompt for key, prompt in prompts.items() if len(dialog.encode_prompt(tokenizer, prompt)) <= room}
    found = resumable_generation.answer_all(
        policy, list(fitting.values()), config.sampling, config.samples, f"ghost turn {turn}", scratch / "answers", log
    )
    drawn = dict(zip(fitting, found, strict=True))
    options = {key: obedient(going[key], answers) for key, answers in drawn.items()}
    dialogs = [plain_dialogue(going[key], option.text) for key, mine in options.items() for option in mine]
    scores = resumable_generation.kept(
        scratch / "scores.json", lambda: scoring.score(*scoring.load(inputs["helpfulness_reward_model"]), dialogs)
    )
    best, place = {}, 0
    for key, mine in options.items():
        scored = sorted(zip(scores[place : place + len(mine)], mine, strict=True), key=lambda pair: -pair[0])
        best[key], place = scored[0][1] if scored else None, place + len(mine)
    after = [with_answer(ghost, best, turn) if ghost.id in going else ghost for ghost in ghosts]
    judged = [
        instructions.obeyed(going[key].constraints, one.text)
        for key, answers in drawn.items()
        for one in answers
        if instructions.checked(going[key].constraints)
    ]
    return after, judged


def obedient(ghost: Ghost, drawn: Sequence[Answer]) -> list[Option]:
    """The finished answers that obey; where there are none, the answers that obey once a rule has rewritten them.

    An answer that repeats an earlier one is left out: a small model tends to copy what it said before.
    """
    asked = instructions.checked(ghost.constraints)
    changed = [form_rewriting.rewritten(asked, one.text, one.ended) for one in drawn]
    options = [Option(one.text, False) for one in drawn if one.ended] + [Option(text, True) for text in changed if text]
    fitting = [
        one
        for one in options
        if one.text and instructions.obeyed(asked, one.text) and repeated(one.text, ghost.answers) <= MOST_REPEATED
    ]
    return [one for one in fitting if not one.rewritten] or fitting


def repeated(text: str, earlier: Sequence[str]) -> float:
    """Share of the text's word trigrams that occur in an earlier answer, 0 to 1; 0 if it has none."""
    known = {trigram for answer in earlier for trigram in answer_rules.trigrams(answer_rules.words(answer))}
    mine = answer_rules.trigrams(answer_rules.words(text))
    return sum(trigram in known for trigram in mine) / len(mine) if mine else 0.0


def with_answer(ghost: Ghost, best: dict[str, Option | None], turn: int) -> Ghost:
    """The dialogue with its best answer to question `turn`, or with the reason why it has none."""
    if ghost.id not in best:
        return replace(ghost, ended=f"no room for answer {turn + 1}")
    found = best[ghost.id]
    if found is None:
        return replace(ghost, ended=f"no new answer {turn + 1} obeys")
    return replace(ghost, answers=(*ghost.answers, found.text), rewritten=(*ghost.rewritten, found.rewritten))


def examples(rows: Sequence[dict]) -> str:
    """examples.md: the longest form of a few dialogues."""
    longest = {row["dialogue"]: row for row in rows}
    parts = ["# Dialogues for Ghost Attention\n", "Only the last answer is learnt.\n"]
    for row in list(longest.values())[:SHOWN]:
        note = ", last answer rewritten" if row["rewritten"] else ""
        parts.append(f"## {row['id']}{note}\n\n{reporting.quoted_prompt(row['messages'])}\n")
    return "\n".join(parts)
