"""What the report measures of one shard. Each function returns sums and samples, so that shards can be added."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.contamination.stage import PASSAGE, QUESTION, part_shares
from data_cleaning.documents import shard_paths
from data_cleaning.filters.words import flat, split_words
from data_cleaning.recipes import ReportRecipe
from data_cleaning.report import counts, demographics, thresholds, toxicity
from data_cleaning.report.quotable import Retracted, quotable
from data_cleaning.shards import map_shards

STEPS = ("documents", "language", "quality", "pii", "deduplicated", "decontaminated")
PARTS = ("documents", "dropped")  # of a step's artifact


def over_shards(function, inputs: dict[str, Path], steps: Sequence[str], out: Path, log, step: str) -> list[dict]:
    """Returns the results of `function(name)` for every shard name in the artifacts of `steps`, in parallel.

    A shard keeps its name from step to step, so one call reads it in all of them: each pool of processes takes a second
    to start.
    """
    files: dict[str, list[Path]] = {}
    for name in steps:
        for part in PARTS if name != "documents" else PARTS[:1]:
            for path in shard_paths(inputs[name], part):
                files.setdefault(path.name, []).append(path)
    shards = [files[name][0] for name in sorted(files)]
    sizes = [sum(path.stat().st_size for path in files[name]) for name in sorted(files)]
    return map_shards(functools.partial(_by_name, function), shards, out, log, step=step, sizes=sizes)


def _by_name(function, shard: Path, out: Path) -> dict:
    return function(shard.name)


def read_shard(
    config: ReportRecipe, retracted: Retracted, rated: toxicity.Rated | None, inputs: dict[str, Path], name: str
) -> dict:
    """Returns step → "documents" and "dropped" of this shard, and "final"; what it has no file for is not there."""
    found: dict = {"documents_in": 0}
    for step in STEPS:
        kept, gone = (inputs[step] / part / name for part in PARTS)
        found[step] = {"documents": read_step(config, retracted, step, kept)} if kept.is_file() else {}
        found[step] |= {"dropped": read_dropped(config, retracted, step, gone)} if gone.is_file() else {}
    found["documents_in"] = sum(
        count["documents"] for count in found["documents"].get("documents", {"kept": {}})["kept"].values()
    )
    last = inputs[STEPS[-1]]
    if (shard := last / "documents" / name).is_file():
        found["final"] = read_final(config, retracted, rated, last, shard)
    return found


def read_step(config: ReportRecipe, retracted: Retracted, step: str, shard: Path) -> dict:
    """Returns what a step kept by source, and the kept documents closest to the language threshold."""
    labels = ["lang", "lang_score"] if step == "language" else []
    table = pq.read_table(shard, columns=["id", "source", "text", "meta", *labels])
    found = {"kept": counts.counted_by(table, "source")}
    if step == "language":
        given = quotable(table, retracted)
        (threshold,) = thresholds.of_reason(config, "unsure_language", "")
        scores = given["lang_score"].to_numpy().astype(float)
        close = thresholds.closest_values(given, scores, threshold, config.samples_per_side)
        found |= {"languages": counts.by_language(table, config.language.threshold), "closest": plain(close)}
    return found


def read_dropped(config: ReportRecipe, retracted: Retracted, step: str, shard: Path) -> dict:
    """Returns what a step dropped by reason, with samples, and the dropped documents closest to each threshold."""
    table = pq.read_table(shard)
    given = quotable(table, retracted)
    found = {
        "dropped": counts.dropped_in(table, given, config.samples_per_reason),
        "closest": plain(thresholds.closest_dropped(config, given)),
    }
    if step == "language":
        found["languages"] = counts.by_language(table, config.language.threshold)
    return found


def read_quality(
    config: ReportRecipe,
    retracted: Retracted,
    wanted: frozenset[thresholds.Threshold],
    share: float,
    artifact: Path,
    name: str,
) -> dict:
    """Returns the kept documents of a shard closest to the thresholds of the quality rules that dropped any."""
    shard = artifact / "documents" / name
    if not shard.is_file():
        return {"documents_in": 0, "closest": []}
    table = pq.read_table(shard, columns=["id", "text", "meta", "profile", "lang"])
    close = thresholds.closest_kept(config, quotable(table, retracted), wanted, share)
    return {"documents_in": table.num_rows, "closest": plain(close)}


def read_final(
    config: ReportRecipe, retracted: Retracted, rated: toxicity.Rated | None, artifact: Path, shard: Path
) -> dict:
    """Returns what the corpus holds: by source its documents, characters, words and toxicity; in all its demographics."""
    table = pq.read_table(shard, columns=["id", "source", "text", "meta"])
    sources = np.array(table["source"].to_pylist(), object)
    size, toxic = {}, {}
    for source in sorted(set(sources)):
        texts = flat(table["text"]).filter(pa.array(sources == source))
        size[source] = {
            "documents": len(texts),
            "characters": pc.sum(pc.utf8_length(texts)).as_py() or 0,
            "words": len(split_words(texts).codes),
        }
        if rated is not None:
            toxic[source] = toxicity.count(rated, texts)
    found = {"size": size, "toxicity": toxic}
    found["demographics"] = demographics.count(table["text"])
    given = quotable(table, retracted)
    close = []
    for reason, values in overlaps(artifact, shard.name, given["id"].to_pylist()).items():
        (threshold,) = thresholds.of_reason(config, reason, "")
        close += thresholds.closest_values(given, values, threshold, config.samples_per_side)
    return found | {"closest": plain(close)}


def overlaps(artifact: Path, name: str, ids: list[str]) -> dict[str, np.ndarray]:
    """Returns reason → the largest share of a benchmark sample's part that each kept document of a shard holds; NaN: none."""
    values = {reason: np.full(len(ids), np.nan) for reason in (QUESTION, PASSAGE)}
    spans = pq.read_table(artifact / "spans" / name, filters=[("dropped", "==", False)]).to_pylist()
    if not spans:
        return values
    samples = pq.read_table(artifact / "samples.parquet", columns=["words", "passage_words"])  # a span names its row
    words, passages = (samples[column].to_pylist() for column in ("words", "passage_words"))
    pairs: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for span in spans:
        pairs.setdefault((span["id"], span["sample"]), []).append((span["start"], span["length"]))
    rows = {identifier: row for row, identifier in enumerate(ids)}
    for (identifier, sample), found in pairs.items():
        row = rows.get(identifier)
        if row is not None:
            for reason, share in part_shares(found, passages[sample], words[sample]).items():
                values[reason][row] = np.fmax(values[reason][row], share or np.nan)
    return values


def plain(found: Iterable[list]) -> list[list]:
    """Returns thresholds with their samples as JSON holds them."""
    return [[astuple(threshold), entries] for threshold, entries in found]
