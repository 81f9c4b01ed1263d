"""Language identification: fastText lid.176 over the whole document (paper Appendix A, Table 10, threshold 0.5)."""

import functools
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_cleaning.documents import LANGUAGE_FIELDS, add_up, shard_paths, split_shard
from data_cleaning.recipes import LanguageRecipe
from data_cleaning.shards import map_shards


def run(config: LanguageRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Labels all documents with `lang` and `lang_score`; keeps those in a kept language with a score ≥ threshold.

    inputs: "documents", and "sources", whose language_model source is the model. Drop reasons: "other_language"
    (value = score, detail = language code) and "unsure_language" (a kept language below the threshold). Metrics include
    `languages`, the number of documents in each language found.
    """
    model = model_path(inputs["sources"])
    shards = shard_paths(inputs["documents"])
    (out / "documents").mkdir(exist_ok=True)
    (out / "dropped").mkdir(exist_ok=True)
    results = map_shards(functools.partial(judge_shard, config, model), shards, out, log, step="language")
    languages: Counter = Counter()
    for result in results:
        languages.update(result.pop("languages"))
    return add_up(results) | {"languages": dict(languages.most_common())}


def model_path(sources: Path) -> Path:
    """Returns the file of the language_model source in a `sources` artifact; ValueError unless there is exactly one."""
    listed = json.loads((sources / "sources.json").read_text())
    found = [source for source in listed if source["use"] == "language_model"]
    if len(found) != 1:
        raise ValueError(f'{sources} holds {len(found)} sources with use = "language_model"; it needs exactly one')
    return sources / "raw" / found[0]["name"] / found[0]["files"][0]


def judge_shard(config: LanguageRecipe, model: Path, shard: Path, out: Path) -> dict:
    table = pq.read_table(shard)
    languages, scores = identify(table["text"].to_pylist(), model)
    for field, values in zip(LANGUAGE_FIELDS, (languages, scores), strict=True):
        table = table.append_column(field, pa.array(values, field.type))
    reasons, keep = [], set(config.keep)
    for language, score in zip(languages, scores, strict=True):
        kept = "unsure_language" if score < config.threshold else None
        reasons.append(kept if language in keep else "other_language")
    return split_shard(table, reasons, scores, languages, out, shard.name) | {"languages": dict(Counter(languages))}


def identify(texts: list[str], model: Path) -> tuple[list[str], list[float]]:
    """Returns the most likely language of each text (ISO 639 code) and its probability.

    The model reads the whole text: the first lines mislead it on pages that begin with names or an English title.
    """
    if not texts:
        return [], []
    # fastText predicts line by line, so newlines go. It gets a list: its code path for a single string fails under
    # numpy 2.
    labels, scores = _load(str(model)).predict([text.replace("\n", " ") for text in texts])
    return [label[0].removeprefix("__label__") for label in labels], [min(float(score[0]), 1.0) for score in scores]


@functools.lru_cache(maxsize=1)
def _load(path: str):
    import fasttext

    return fasttext.load_model(path)
