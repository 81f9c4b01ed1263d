"""What evaluation tests share: a small recipe, the judge's real encoder and labels, and answers written by hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import fetch, table
from modeling.core import dialogue_tables, embedding, reporting
from modeling.core.recipes import EvaluationRecipe, SamplingRecipe
from modeling.dialogues import judge_labels
from modeling.evaluation import controls, generations, scored_answers
from modeling.evaluation.judge import fitting as judge_fitting
from modeling.evaluation.judge import model as judge_model

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = EvaluationRecipe(
    sampling=SamplingRecipe(temperature=0.7, top_p=0.9, max_new_tokens=12, seed=3),
    prompts=12, safety_prompts=8, harmless_prompts=6, round_share=0.5, temperatures=(0.1, 1.0), temperature_prompts=5,
    temperature_versions=("Base", "SFT", "Chat"), benchmarks=("piqa", "boolq", "nq_open", "asdiv"), benchmark_limit=6,
    controls_lose=True, bits_per_byte_documents=8, bootstrap=300, seed=3,
)  # fmt: skip


def fetch_sources(folder: Path, names: set[str], log) -> Path:
    """The named entries of sources.toml, from the download cache."""
    sources = tuple(source for source in table.load_sources(ROOT / "sources.toml") if source.name in names)
    assert {source.name for source in sources} == names
    folder.mkdir(parents=True)
    fetch.run(SourcesRecipe(sources), {}, folder, log)
    return folder


def fit_small_judge(inputs: dict[str, Path], out: Path) -> judge_model.Judge:
    """Probes fitted to a fifth of the harm scores and all refusal labels: seconds instead of a minute."""
    encoder = embedding.load(inputs["judge"])
    rated = judge_labels.read_rated(inputs["dialogues"])[::5]
    probes, _ = judge_fitting.fit(encoder, rated, judge_labels.read_attempts(inputs["dialogues"]), seed=1)
    out.mkdir(parents=True)
    judge_model.save(probes, out / "probes.safetensors")
    return judge_model.Judge(encoder, probes)


SETTINGS = {"helpfulness": "ordinary", "safety": "adversarial", "harmless": "everyday"}


def prompt(kind: str, number: int, text: str, category: str = "things", **changes) -> dict:
    return {
        "id": f"{kind}-{number}",
        "kind": kind,
        "setting": SETTINGS[kind],
        "category": category,
        "messages": [{"role": "user", "content": text}],
        "question": text,
        "constraint": "",
        "reference": "",
        **changes,
    }


def write_prompts(folder: Path, rows: list[dict], part: str = "test") -> Path:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{part}.parquet")
    return folder


def write_generations(folder: Path, rows: list[dict], answers: dict[str, list[str]]) -> Path:
    """The table of `generations`: an answer per prompt of each version and of the controls."""
    folder.mkdir(parents=True)
    said = [row for version, given in answers.items() for row in generations.answer_rows(version, rows, given, 0.7)]
    said += [
        row
        for name, given in controls.answers(rows).items()
        for row in generations.answer_rows(name, rows, given, None)
    ]
    dialogue_tables.write_rows(said, generations.SCHEMA, folder / "answers.parquet")
    return folder


def scored(version: str, place: int, setting: str, **changes) -> dict:
    """A row of `scored_answers`: a fluent answer that neither refuses nor violates."""
    kind = {"adversarial": "safety", "adversarial, later turn": "safety", "ordinary": "helpfulness"}.get(
        setting, "harmless"
    )
    row = {"version": version, "prompt_id": f"{setting}-{place:03d}", "kind": kind, "setting": setting, "category": "things",
           "control": False, "temperature": 0.7, "reward": 0.0, "helpfulness": 0.0, "violation": -1.0, "refusal": -1.0,
           "fluency": 1.0, "rule_unsafe": False, "rule_refuses": False, "rule_declines": False, "obeyed": None,
           "words": 10}  # fmt: skip
    return row | changes


def write_scored(folder: Path, rows: list[dict], agreement: dict) -> Path:
    folder.mkdir(parents=True)
    dialogue_tables.write_rows(rows, scored_answers.SCHEMA, folder / scored_answers.TABLE)
    reporting.write_json(folder / scored_answers.AGREEMENT, agreement)
    return folder


def attacks(inputs: dict[str, Path], count: int = 4) -> tuple[list[str], list[str]]:
    """Adversarial prompts and answers that people found harmful to the utmost, among those the small judge learnt from."""
    rated = judge_labels.read_rated(inputs["dialogues"])[::5]
    found = {example.objective: example.answer for example in rated if example.harm >= 0.9}
    assert len(found) >= count
    return list(found)[:count], list(found.values())[:count]
