"""What evaluation tests share: a small recipe, the judge's real encoder and labels, and answers written by hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import fetch, table
from modeling.core.recipes import EvaluationRecipe, SamplingRecipe
from modeling.dialogues import judge_labels
from modeling.evaluation import generations
from modeling.evaluation.judge import embedding
from modeling.evaluation.judge import fitting as judge_fitting
from modeling.evaluation.judge import model as judge_model

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = EvaluationRecipe(
    sampling=SamplingRecipe(temperature=0.7, top_p=0.9, max_new_tokens=12, seed=3),
    prompts=12, safety_prompts=8, harmless_prompts=6, temperatures=(0.1, 1.0), temperature_prompts=5,
    benchmark_limit=6, bits_per_byte_documents=8,
    bootstrap=300, seed=3,
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


def prompt(kind: str, number: int, text: str, category: str = "things") -> dict:
    return {
        "id": f"{kind}-{number}",
        "kind": kind,
        "category": category,
        "messages": [{"role": "user", "content": text}],
        "question": text,
        "reference": "",
    }


def write_prompts(folder: Path, rows: list[dict]) -> Path:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "test.parquet")
    return folder


def write_generations(folder: Path, rows: list[dict], answers: dict[str, list[str]]) -> Path:
    folder.mkdir(parents=True)
    generations.write(rows, answers, folder / "answers.parquet")
    return folder


def attacks(inputs: dict[str, Path], count: int = 4) -> tuple[list[str], list[str]]:
    """Adversarial prompts and answers that people found harmful to the utmost, among those the small judge learnt from."""
    rated = judge_labels.read_rated(inputs["dialogues"])[::5]
    found = {example.objective: example.answer for example in rated if example.harm >= 0.9}
    assert len(found) >= count
    return list(found)[:count], list(found.values())[:count]
