"""Every version's answers to the held-out prompts (paper 3.4), and those of the controls.

Each version answers at the temperature that validation prompts chose for it. Base, SFT, Chat and the controls answer
all prompts, the other versions a subset by hash. Chat answers the subset once more with the default system prompt of
Table 31, where that fits. All draw the same random numbers for the same prompt, so answers differ through model,
temperature and system prompt alone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation, system_prompts
from modeling.core.recipes import EvaluationRecipe, SamplingRecipe
from modeling.evaluation import controls
from modeling.evaluation.versions import CHAT, HEADLINE, TOLD, read_choice, version_folders

OF_PROMPT = ("kind", "setting", "category", "question", "constraint", "messages")  # columns of the prompts artifact
SCHEMA = pa.schema(
    [
        ("version", pa.string()),
        ("control", pa.bool_()),
        ("temperature", pa.float64()),  # null: a control
        *((name, pa.string()) for name in ("prompt_id", *OF_PROMPT[:-1])),
        ("messages", dialogue_tables.MESSAGES),
        ("answer", pa.string()),
    ]
)
EXAMPLES_PER_KIND = 6


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write answers.parquet and examples.md.

    Inputs: prompts, temperature_curve and the versions (initial_model, base_model, sft_model, policy_N, ppo_policy,
    chat_model).
    """
    versions = version_folders(inputs)
    choice = read_choice(inputs["temperature_curve"])
    wanted = {"helpfulness": config.prompts, "safety": config.safety_prompts, "harmless": config.harmless_prompts}
    chosen = select(resumable_generation.read_prompts(inputs["prompts"], "test"), wanted)
    prompts, shared = subset_first(fitting_all(versions, chosen, config.sampling), config.round_share)
    rows = []
    for number, (version, folder) in enumerate(versions.items(), start=1):
        log.info(f"version {number} of {len(versions)}: {version} at temperature {choice[version]}")
        asked = prompts if version in HEADLINE else prompts[:shared]
        sampling = replace(config.sampling, temperature=choice[version])
        given = answer(folder, asked, sampling, "evaluate", out / "_scratch" / version, log)
        rows += answer_rows(version, asked, given, choice[version])
    told = list(told_prompts(prompts[:shared]))
    fits = {one["id"] for one in resumable_generation.fitting(versions[CHAT], told, config.sampling)}
    told = [one for one in told if one["id"] in fits]
    sampling = replace(config.sampling, temperature=choice[CHAT])
    given = answer(versions[CHAT], told, sampling, "evaluate", out / "_scratch" / TOLD, log)
    plain = {one["id"]: one for one in prompts}  # raters read the dialogue without the system prompt
    rows += answer_rows(TOLD, [plain[one["id"]] for one in told], given, choice[CHAT])
    for name, given in controls.answers(prompts).items():
        rows += answer_rows(name, prompts, given, None)
    dialogue_tables.write_rows(rows, SCHEMA, out / "answers.parquet")
    reporting.write_text(out / "examples.md", examples(prompts[:shared], rows))
    return {
        "versions": len(versions),
        "prompts": len(prompts),
        "prompts_too_long": len(chosen) - len(prompts),
        "prompts_of_every_version": shared,
        "prompts_with_system_prompt": len(told),
        **{f"{kind}_prompts": sum(prompt["kind"] == kind for prompt in prompts) for kind in wanted},
        "empty_answers": {
            version: sum(not row["answer"] for row in rows if row["version"] == version) for version in versions
        },
        "temperatures": {version: choice[version] for version in versions},
    }


def select(rows: Sequence[dict], wanted: dict[str, int]) -> list[dict]:
    """Picks prompts by a hash of their ids, the wanted number of each kind. A larger number keeps the smaller set."""
    order = sorted(rows, key=lambda row: hashing.unit_hash("evaluate", row["id"]))
    chosen = [row for kind, count in wanted.items() for row in [r for r in order if r["kind"] == kind][:count]]
    return sorted(chosen, key=lambda row: row["id"])


def subset_first(prompts: Sequence[dict], share: float) -> tuple[list[dict], int]:
    """Returns (the prompts, a `share` of each kind first, how many these are), at least one prompt of each kind.

    Rows of one table of random numbers belong to places, so a subset draws the same ones only if it comes first.
    """
    counts = Counter(prompt["kind"] for prompt in prompts)
    few = select(prompts, {kind: max(1, round(share * count)) for kind, count in counts.items()})
    ids = {prompt["id"] for prompt in few}
    return [*few, *(prompt for prompt in prompts if prompt["id"] not in ids)], len(few)


def told_prompts(prompts: Sequence[dict]) -> Iterator[dict]:
    """Yields the prompts with the default system prompt; those that have a system prompt are left out."""
    system = {"role": "system", "content": system_prompts.DEFAULT}
    for prompt in prompts:
        if prompt["messages"][0]["role"] != "system":
            yield prompt | {"messages": [system, *prompt["messages"]]}


def fitting_all(versions: dict[str, Path], prompts: Sequence[dict], sampling: SamplingRecipe) -> list[dict]:
    """Returns the prompts that fit into the context of every version. Raises ValueError if there are none."""
    for folder in versions.values():
        prompts = resumable_generation.fitting(folder, prompts, sampling)
    if not prompts:
        raise ValueError("No prompt fits into the models' context: lower max_new_tokens in the evaluation recipe")
    return list(prompts)


def answer(folder: Path, prompts: Sequence[dict], sampling: SamplingRecipe, name: str, scratch: Path, log) -> list[str]:
    """Returns the model's answer to each prompt. `name` seeds the sampling; a killed run resumes from `scratch`."""
    texts = [prompt["messages"] for prompt in prompts]
    return [row[0].text for row in resumable_generation.answer_all(folder, texts, sampling, 1, name, scratch, log)]


def answer_rows(
    version: str, prompts: Sequence[dict], answers: Sequence[str | None], temperature: float | None
) -> list[dict]:
    """Returns a row per answer; a version without a temperature is a control, and None is no answer."""
    return [
        {
            "version": version,
            "control": temperature is None,
            "temperature": temperature,
            "prompt_id": prompt["id"],
            **{name: prompt[name] for name in OF_PROMPT},
            "answer": given,
        }
        for prompt, given in zip(prompts, answers, strict=True)
        if given is not None
    ]


def read(folder: Path) -> list[dict]:
    """Returns the rows of a `generations` artifact, messages as plain dicts."""
    rows = pq.read_table(folder / "answers.parquet").to_pylist()
    return [row | {"messages": resumable_generation.plain(row["messages"])} for row in rows]


def dialogs(rows: Sequence[dict]) -> list[list[dict]]:
    return [dialog.with_answer(row["messages"], row["answer"]) for row in rows]


def examples(prompts: Sequence[dict], rows: Sequence[dict]) -> str:
    """Markdown with the answers of all versions side by side."""
    lines = ["# Answers side by side", "", "The same prompts and random numbers for every version.", ""]
    for kind in ("helpfulness", "safety", "harmless"):
        chosen = [prompt for prompt in prompts if prompt["kind"] == kind][:EXAMPLES_PER_KIND]
        lines += [f"## {kind}", ""] if chosen else []
        for prompt in chosen:
            lines += ["### Prompt", ""]
            for message in prompt["messages"]:
                lines += [f"*{message['role']}*", "", reporting.quoted(message["content"]), ""]
            for row in rows:
                if row["prompt_id"] == prompt["id"] and not row["control"]:
                    lines += [f"**{row['version']}**", "", reporting.quoted(row["answer"]), ""]
    return "\n".join(lines) + "\n"
