"""Whether a version obeys the instruction of its first message at later turns (paper 3.3, A.3.5, Table 30, Figure 10).

Every version answers the same questions turn by turn, with its own earlier answers before them. The instruction stands
in the first message alone: as a system message in half of the dialogues, before the first question in the others. Rules
decide whether an answer obeys. Half of the instructions are of the kinds and values that Ghost Attention trains, the
others are not. Dialogues without an instruction show how often an answer obeys by accident.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from transformers import AutoConfig, AutoTokenizer

from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation, sampling
from modeling.core.recipes import GhostEvaluationRecipe
from modeling.core.statistics import clustered_interval, wilson_interval
from modeling.dialogues import instructions, splits
from modeling.evaluation import attention_picture
from modeling.evaluation.versions import version_folders
from modeling.rlhf.ghost_attention import own_questions
from modeling.rlhf.ghost_dialogue import with_instruction

BEFORE, AFTER = "RLHF-v3", "Chat"  # of Ghost Attention, in Figure 10
TRAINED, NEW, CONTROL = "trained", "new", "none"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("version", "dialogue", "constraints", "instruction")),
        ("turn", pa.int64()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("obeyed", pa.bool_()),
    ]
)
SHOWN = 4


@dataclass(frozen=True)
class Talk:
    """A dialogue with its instruction, if it has one, and a version's answers so far."""

    id: str
    group: str  # trained | new | none
    constraints: tuple[str, ...]
    system: bool
    questions: tuple[str, ...]
    answers: tuple[str, ...] = ()

    def messages(self, turns: int) -> list[dict]:
        """The dialogue up to question `turns` (from 1), with the answers before it."""
        said: list[dict] = []
        for place, question in enumerate(self.questions[:turns]):
            said.append({"role": "user", "content": question})
            if place + 1 < turns:
                said = dialog.with_answer(said, self.answers[place])
        return with_instruction(said, instructions.text(self.constraints), self.system) if self.constraints else said


def run(config: GhostEvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write answers.parquet, ghost_attention.json, report.md, examples.md and plots/attention.png.

    Inputs: prompts, initial_model, base_model, sft_model, policy_3, policy_5, chat_model. `rows` holds the share of
    obedient answers with its 95 % interval by version, constraints, turn, and whether the instruction was given. Raises
    ValueError if no test prompt is harmless.
    """
    planned = plan(resumable_generation.read_prompts(inputs["prompts"], "test"), config)
    versions, talks = version_folders(inputs), {}
    for number, (version, folder) in enumerate(versions.items(), start=1):
        log.info(f"version {number} of {len(versions)}: {version}")
        talks[version] = answered(planned, folder, config, out / "_scratch" / version, log)
    rows = [row for version, mine in talks.items() for row in rates(version, mine, config.measured_turns)]
    dialogue_tables.write_rows(answer_rows(talks), SCHEMA, out / "answers.parquet")
    reporting.write_json(out / "ghost_attention.json", rows)
    reporting.write_text(out / "report.md", report(rows))
    reporting.write_text(out / "examples.md", examples(talks))
    folders = {version: versions[version] for version in (BEFORE, AFTER)}
    shown = longest(talks[AFTER])
    figures = {"dialogues": len(planned), "rows": rows}
    if not shown.answers:  # no dialogue with an instruction fits in the context
        return figures
    attention = attention_picture.draw(folders, shown.messages(len(shown.answers)), shown.answers[-1],
                                       instructions.text(shown.constraints), out / "plots" / "attention.png")  # fmt: skip
    return figures | {"attention": attention}


def plan(rows: Sequence[dict], config: GhostEvaluationRecipe) -> list[Talk]:
    """The dialogues without answers: by turns with a trained constraint, with a new one; then those without any.

    Raises ValueError if no test prompt is harmless and stands alone.
    """
    plain = [row for row in rows if row["kind"] != "safety" and not row["constraint"]]
    asked = [row for row in plain if own_questions(row) == [row["question"]]]
    if not asked:
        raise ValueError("no harmless test prompt stands alone: ask for more test prompts")
    lengths = [turns for turns, count in config.lengths for _ in range(count)]
    lengths += [min(lengths)] * config.control_dialogues
    instructed = len(lengths) - config.control_dialogues
    talks = []
    for number, turns in enumerate(lengths):
        key = f"ghost evaluation {config.seed} {number}"
        group = CONTROL if number >= instructed else (TRAINED, NEW)[number % 2]
        ranked = sorted(asked, key=lambda row, key=key: hashing.unit_hash(key, row["id"]))
        questions = tuple(ranked[place % len(ranked)]["question"] for place in range(turns))
        system = hashing.unit_hash("system", key) < 0.5
        talks.append(Talk(f"{number:04d}", group, constraints(key, group, config), system, questions))
    return talks


def constraints(key: str, group: str, config: GhostEvaluationRecipe) -> tuple[str, ...]:
    """One constraint of the group by a hash of the key; none for the control."""
    if group == CONTROL:
        return ()
    kinds, part = (config.kinds, splits.RL) if group == TRAINED else (config.new_kinds, splits.TEST)
    return instructions.draw(key, instructions.Shares(kinds, 0.0, 0.0), part)


def answered(planned: Sequence[Talk], folder: Path, config: GhostEvaluationRecipe, scratch: Path, log) -> list[Talk]:
    """The dialogues with a version's answers. A dialogue ends where the context has no room for another answer."""
    load = functools.cache(lambda: sampling.load(folder))  # a killed run that has all answers loads no model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    room = AutoConfig.from_pretrained(folder).max_position_embeddings - config.sampling.max_new_tokens
    talks = {talk.id: talk for talk in planned}
    most = max(len(talk.questions) for talk in planned)
    for turn in range(1, most + 1):
        going = [talk for talk in talks.values() if len(talk.answers) + 1 == turn <= len(talk.questions)]
        prompts = {talk.id: talk.messages(turn) for talk in going}
        prompts = {key: said for key, said in prompts.items() if len(dialog.encode_prompt(tokenizer, said)) <= room}

        def make(prompts: dict = prompts, turn: int = turn) -> list:
            seed = hashing.mix(config.sampling.seed, "ghost", turn)
            return sampling.generate(*load(), list(prompts.values()), config.sampling, 1, seed)

        found = resumable_generation.kept(scratch / f"{turn:02d}.json", make)
        for key, ((text, _),) in zip(prompts, found, strict=True):
            talks[key] = replace(talks[key], answers=(*talks[key].answers, text))
        log.progress(turn, most, unit="turn")
    load.cache_clear()
    sampling.free_memory()
    return list(talks.values())


def rates(version: str, talks: Sequence[Talk], turns: Sequence[int]) -> list[dict]:
    """The share of obedient answers by constraints and turn, with the instruction and without any.

    Without an instruction, each answer is held against every constraint of the group.
    """
    rows = []
    for group in (TRAINED, NEW):
        mine = [talk for talk in talks if talk.group == group]
        for turn in turns:
            given = [instructions.obeyed(talk.constraints, talk.answers[turn - 1]) for talk in _reaching(mine, turn)]
            if given:
                low, high = wilson_interval(sum(given), len(given))
                rows.append(_row(version, group, turn, True, sum(given) / len(given), low, high, len(given)))
            control = _reaching([talk for talk in talks if talk.group == CONTROL], turn)
            by_chance = [
                (instructions.obeyed(one.constraints, talk.answers[turn - 1]), talk.id)
                for talk in control
                for one in mine
            ]
            if by_chance:
                values, clusters = zip(*by_chance, strict=True)
                low, high = clustered_interval(values, clusters)
                rows.append(_row(version, group, turn, False, float(np.mean(values)), low, high, len(control)))
    return rows


def _reaching(talks: Sequence[Talk], turn: int) -> list[Talk]:
    return [talk for talk in talks if len(talk.answers) >= turn]


def _row(version, group, turn, given, rate, low, high, dialogues) -> dict:
    return {"version": version, "constraints": group, "turn": turn, "given": given, "rate": round(rate, 4),
            "low": round(low, 4), "high": round(high, 4), "dialogues": dialogues}  # fmt: skip


def answer_rows(talks: dict[str, list[Talk]]) -> list[dict]:
    """A row for each answer; `obeyed` is null without an instruction."""
    return [
        {
            "version": version,
            "dialogue": talk.id,
            "constraints": talk.group,
            "instruction": instructions.text(talk.constraints),
            "turn": turn,
            "question": question,
            "answer": answer,
            "obeyed": instructions.obeyed(talk.constraints, answer) if talk.constraints else None,
        }
        for version, mine in talks.items()
        for talk in mine
        for turn, (question, answer) in enumerate(zip(talk.questions, talk.answers, strict=False), start=1)
    ]


def longest(talks: Sequence[Talk]) -> Talk:
    """The first dialogue with the most answers, up to six so that a picture shows it, among those with instructions."""
    found = max((talk for talk in talks if talk.constraints), key=lambda talk: min(6, len(talk.answers)))
    return replace(found, answers=found.answers[:6])


def report(rows: Sequence[dict]) -> str:
    """Table 30: a row per version, a column per turn, for trained constraints, new ones and without instruction."""
    parts = ["# Instructions of the first message at later turns\n"]
    turns = list(dict.fromkeys(row["turn"] for row in rows))
    for given, group, title in (
        (True, TRAINED, "Instructions that Ghost Attention trains"),
        (True, NEW, "New instructions"),
        (False, TRAINED, "No instruction given: the first kind obeyed by accident"),
        (False, NEW, "No instruction given: the second kind obeyed by accident"),
    ):
        mine = {(r["version"], r["turn"]): r for r in rows if (r["given"], r["constraints"]) == (given, group)}
        table = [
            (version, *(_cell(mine.get((version, turn))) for turn in turns))
            for version in dict.fromkeys(v for v, _ in mine)
        ]
        parts.append(f"## {title}\n\n{reporting.table(('version', *(f'turn {turn}' for turn in turns)), table)}")
    parts.append("Share of answers that obey by the rules, 95 % interval, and number of dialogues.\n")
    return "\n".join(parts)


def _cell(row: dict | None) -> str:
    if row is None:
        return "–"
    return f"**{reporting.percent(row['rate'])}** [{100 * row['low']:.0f}, {100 * row['high']:.0f}], {row['dialogues']}"


def examples(talks: dict[str, list[Talk]]) -> str:
    """examples.md: a few dialogues of the first and the last version."""
    parts = ["# Dialogues with the instruction in the first message\n"]
    for version in (next(iter(talks)), list(talks)[-1]):
        for talk in [talk for talk in talks[version] if talk.constraints and talk.answers][:SHOWN]:
            said = dialog.with_answer(talk.messages(len(talk.answers)), talk.answers[-1])
            parts.append(f"## {version}, {talk.group} constraint\n\n{reporting.quoted_prompt(said)}\n")
    return "\n".join(parts)
