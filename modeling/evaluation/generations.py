"""Every version's answers to the held-out prompts (paper 3.4). Win rates, safety rates and human raters use them.

All versions answer the same prompts with the same sampling seed per prompt, so answers differ only through the model.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation
from modeling.core.recipes import EvaluationRecipe, SamplingRecipe

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("version", "prompt_id", "kind", "category", "question")),
        ("messages", dialogue_tables.MESSAGES),
        ("answer", pa.string()),
    ]
)
EXAMPLES_PER_KIND = 6


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write answers.parquet and examples.md.

    Inputs: prompts and the versions (sft_model, policy_N, ppo_policy, chat_model).
    """
    versions = version_folders(inputs)
    wanted = {"helpfulness": config.prompts, "safety": config.safety_prompts, "harmless": config.harmless_prompts}
    chosen = select(resumable_generation.read_prompts(inputs["prompts"], "test"), wanted)
    prompts = fitting_all(versions, chosen, config.sampling)
    answers = answer(versions, prompts, config.sampling, "evaluate", out / "_scratch", log)
    write(prompts, answers, out / "answers.parquet")
    reporting.write_text(out / "examples.md", examples(prompts, answers))
    return {
        "versions": len(versions),
        "prompts": len(prompts),
        "prompts_too_long": len(chosen) - len(prompts),
        **{f"{kind}_prompts": sum(prompt["kind"] == kind for prompt in prompts) for kind in wanted},
        "empty_answers": {version: sum(not text for text in given) for version, given in answers.items()},
        "mean_answer_words": {
            version: round(sum(len(text.split()) for text in given) / len(given), 1)
            for version, given in answers.items()
        },
    }


def version_folders(inputs: dict[str, Path]) -> dict[str, Path]:
    """Returns name → folder in training order.

    Names as in Figure 11: SFT, RLHF-v1 … (rejection sampling), RLHF-v5 (PPO), chat. Raises ValueError without sft_model
    or without a later version.
    """
    names = {"sft_model": "SFT"}
    for role in sorted((r for r in inputs if re.fullmatch(r"policy_\d+", r)), key=lambda r: int(r.split("_")[1])):
        names[role] = f"RLHF-v{role.split('_')[1]}"
    last = max((int(r.split("_")[1]) for r in names if r != "sft_model"), default=0)
    names |= {"ppo_policy": f"RLHF-v{last} PPO", "chat_model": "Chat"}
    found = {name: inputs[role] for role, name in names.items() if role in inputs}
    if "SFT" not in found or len(found) < 2:
        raise ValueError(f"Needs sft_model and at least one later version, got {', '.join(sorted(inputs))}")
    return found


def select(rows: Sequence[dict], wanted: dict[str, int]) -> list[dict]:
    """Picks prompts by a hash of their ids, the wanted number of each kind. A larger number keeps the smaller set."""
    order = sorted(rows, key=lambda row: hashing.unit_hash("evaluate", row["id"]))
    chosen = [row for kind, count in wanted.items() for row in [r for r in order if r["kind"] == kind][:count]]
    return sorted(chosen, key=lambda row: row["id"])


def fitting_all(versions: dict[str, Path], prompts: Sequence[dict], sampling: SamplingRecipe) -> list[dict]:
    """Returns the prompts that fit into the context of every version. Raises ValueError if there are none."""
    for folder in versions.values():
        prompts = resumable_generation.fitting(folder, prompts, sampling)
    if not prompts:
        raise ValueError("No test prompt fits into the models' context: lower max_new_tokens in the evaluation recipe")
    return list(prompts)


def answer(
    versions: dict[str, Path], prompts: Sequence[dict], sampling: SamplingRecipe, name: str, scratch: Path, log
) -> dict[str, list[str]]:
    """Returns version → one answer per prompt. `name` seeds the sampling; a killed run resumes from `scratch`."""
    texts = [prompt["messages"] for prompt in prompts]
    answers = {}
    for number, (version, folder) in enumerate(versions.items(), start=1):
        log.info(f"version {number} of {len(versions)}: {version}")
        rows = resumable_generation.answer_all(folder, texts, sampling, 1, name, scratch / version, log)
        answers[version] = [row[0].text for row in rows]
    return answers


def write(prompts: Sequence[dict], answers: dict[str, list[str]], path: Path) -> None:
    rows = [
        {
            "version": version,
            "prompt_id": prompt["id"],
            **{name: prompt[name] for name in ("kind", "category", "question", "messages")},
            "answer": answer,
        }
        for version, given in answers.items()
        for prompt, answer in zip(prompts, given, strict=True)
    ]
    dialogue_tables.write_rows(rows, SCHEMA, path)


def read(folder: Path, kind: str) -> tuple[list[dict], dict[str, list[str]]]:
    """Returns (prompts of one kind, version → answers in the same order) of a `generations` artifact.

    Raises ValueError if a version lacks an answer that another has: comparisons are per prompt.
    """
    table = pq.read_table(folder / "answers.parquet", filters=[("kind", "=", kind)])
    rows = table.to_pylist()
    by_version: dict[str, dict[str, str]] = {}
    prompts: dict[str, dict] = {}
    for row in rows:
        by_version.setdefault(row["version"], {})[row["prompt_id"]] = row["answer"]
        prompts.setdefault(row["prompt_id"], row | {"messages": resumable_generation.plain(row["messages"])})
    order = sorted(prompts)
    for version, given in by_version.items():
        if sorted(given) != order:
            raise ValueError(f"{folder}: {version} answered {len(given)} of {len(order)} {kind} prompts")
    return [prompts[key] for key in order], {name: [given[key] for key in order] for name, given in by_version.items()}


def questions(folder: Path) -> list[str]:
    """Returns the sorted distinct questions of all prompts in a `generations` artifact."""
    return sorted(set(pq.read_table(folder / "answers.parquet", columns=["question"])["question"].to_pylist()))


def dialogs(prompts: Sequence[dict], answers: Sequence[str]) -> list[list[dict]]:
    return [dialog.with_answer(prompt["messages"], answer) for prompt, answer in zip(prompts, answers, strict=True)]


def examples(prompts: Sequence[dict], answers: dict[str, list[str]]) -> str:
    """Markdown with the answers of all versions side by side."""
    lines = ["# Answers side by side", "", "The same prompts and the same sampling seed for every version.", ""]
    for kind in ("helpfulness", "safety", "harmless"):
        places = [place for place, prompt in enumerate(prompts) if prompt["kind"] == kind][:EXAMPLES_PER_KIND]
        lines += [f"## {kind}", ""] if places else []
        for place in places:
            lines += ["### Prompt", ""]
            for message in prompts[place]["messages"]:
                lines += [f"*{message['role']}*", "", reporting.quoted(message["content"]), ""]
            for version, given in answers.items():
                lines += [f"**{version}**", "", reporting.quoted(given[place]), ""]
    return "\n".join(lines) + "\n"
