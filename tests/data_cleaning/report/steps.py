"""Small artifacts of all corpus steps, made by the real stages from real documents, and the sources of toxicity."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from data_cleaning.contamination import stage as contamination
from data_cleaning.dedup import stage as dedup
from data_cleaning.documents import split_shard, write_shard
from data_cleaning.filters import pii, quality
from data_cleaning.recipes import ReportRecipe
from orchestration.thresholds import corpus
from tests.conftest import MemoryLog
from tests.data_cleaning.samples import manual

RATED = "text,severity_rating\nblast,1.0\nscoundrel,2.0\nfilthy rat,3.0\n@ss,3.0\nhalf-wit,1.6\n"
LABELLED = [
    {"text": "You filthy rat.", "is_toxic": True},
    {"text": "They are not welcome here.", "is_toxic": True},
    {"text": "A rat is filthy.", "is_toxic": False},
    {"text": "Good morning.", "is_toxic": False},
]
COMMENTS = [{"text": "what a scoundrel", "toxicity": 0.95}, {"text": "go home", "toxicity": 0.85}]


def recipe(**changes) -> ReportRecipe:
    return replace(corpus().report, **changes)


def toxicity_sources(folder: Path, rated: str = RATED) -> Path:
    """A `toxicity` artifact with four rated terms, four lines of "ToxiGen" and two comments."""
    files = {
        "profanity": ("profanity_en.csv", rated),
        "toxigen": ("toxigen.json", json.dumps(LABELLED)),
        "toxic-comments": ("test.jsonl", "".join(json.dumps(row) + "\n" for row in COMMENTS)),
    }
    for name, (file, text) in files.items():
        (folder / "raw" / name).mkdir(parents=True)
        (folder / "raw" / name / file).write_text(text, encoding="utf-8")
    listed = [{"name": name, "use": "toxicity", "files": [file]} for name, (file, _) in files.items()]
    (folder / "sources.json").write_text(json.dumps(listed))
    return folder


def question(number: int) -> str:
    """A benchmark sample that holds a piece of a text of the manual: of every second one 60 words, else 12 of 112."""
    words = manual()[2 * number].split()
    own = [f"filler{number}x{place}" for place in range(100)]
    return json.dumps({"question": " ".join(words[:60] if number % 2 else words[:12] + own)}) + "\n"


def made(folder: Path, documents: pa.Table, rows_in_a_shard: int) -> dict[str, Path]:
    """The artifacts of all steps over a table of labelled documents that is cut into shards of this size."""
    settings, log = corpus(), MemoryLog()
    inputs = {
        name: folder / name for name in ("documents", "language", "quality", "pii", "deduplicated", "decontaminated")
    }
    for path in inputs.values():
        path.mkdir(parents=True)
    for start in range(0, documents.num_rows, rows_in_a_shard):
        shard, name = documents.slice(start, rows_in_a_shard), f"s-{start:05}.parquet"
        write_shard(shard.drop_columns(["lang", "lang_score"]), inputs["documents"] / "documents" / name)
        scores = shard["lang_score"].to_pylist()
        reasons = [
            "other_language" if lang != "en" else "unsure_language" if score < 0.5 else None
            for lang, score in zip(shard["lang"].to_pylist(), scores, strict=True)
        ]
        split_shard(shard, reasons, scores, shard["lang"].to_pylist(), inputs["language"], name)
    (inputs["language"] / "dropped").mkdir(exist_ok=True)
    (inputs["documents"] / "quarantine.jsonl").touch()
    benchmarks = folder / "benchmarks"
    (benchmarks / "raw" / "exam").mkdir(parents=True)
    (benchmarks / "raw" / "exam" / "test.jsonl").write_text("".join(map(question, range(10))))
    quality.run(settings.quality, {"language": inputs["language"]}, inputs["quality"], log)
    pii.run(settings.pii, {"quality": inputs["quality"]}, inputs["pii"], log)
    dedup.run(settings.dedup, {"pii": inputs["pii"]}, inputs["deduplicated"], log)
    given = {"deduplicated": inputs["deduplicated"], "benchmarks": benchmarks}
    contamination.run(settings.contamination, given, inputs["decontaminated"], log)
    return inputs | {"toxicity": toxicity_sources(folder / "toxicity")}
