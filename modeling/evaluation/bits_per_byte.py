"""Bits per byte of held-out documents under the base model, compared with its start and with compressors.

The bits of a document include its end and are divided by the UTF-8 bytes of its text alone. The model's bits are its
loss on every token of the text and on the end token, but not on the start token. A compressor's bits are those of the
text and one separator byte. Bits per byte compares models with different tokenizers. If pretraining continued from a
checkpoint, the checkpoint is measured too.

A compressor first reads training text of the same source, as much as the mixture gives the model. Its figure is
compressed(training + held-out) − compressed(training). A trained model should need fewer bits than every compressor;
the PPMd family is the strictest of them.
"""

import lzma
import math
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyppmd
import torch
from matplotlib.figure import Figure
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling.core import batching, dialog, dialogue_tables, hashing, reporting, runtime
from modeling.core.recipes import EvaluationRecipe
from modeling.core.verdicts import has_weights
from modeling.pretraining.tokenizer import copies, document_tokens

# Most training text per source for a compressor. It bounds their memory: xz needs 12 bytes per byte.
FLOOR_BYTES = 32 << 20
PPMD_ORDERS = (6, 8)
PPMD_MEMORY = 1 << 30  # upper limit in bytes; large enough that PPMd never resets its model within FLOOR_BYTES
BATCH_TOKENS = 2_048
SEPARATOR = b"\0"
DOCUMENTS_SCHEMA = pa.schema([("text", pa.string()), ("bits_per_byte", pa.float64())])  # text: its hash


@dataclass(frozen=True)
class Score:
    nats_D: np.ndarray  # of each document
    bytes_D: np.ndarray
    tokens: int

    @property
    def nats(self) -> float:
        return float(self.nats_D.sum())

    @property
    def bytes(self) -> int:
        return int(self.bytes_D.sum())

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write bits_per_byte.json, documents.parquet, report.md and plots/bits_per_byte.png.

    Inputs: mixture, initial_model, base_model. documents.parquet has the base model's bits per byte of each document.
    """
    heldout = read_texts(inputs["mixture"] / "heldout", config.bits_per_byte_documents)
    if not heldout:
        raise ValueError(f"{inputs['mixture']} has no held-out documents: raise heldout_share in the mixture recipe")
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:  # compressors release the GIL
        floors = start_floors(pool, inputs["mixture"] / "train", heldout)
        scores = score_sources(inputs["base_model"], heldout, log)
        before = score_sources(inputs["initial_model"], heldout, log) if has_weights(inputs["initial_model"]) else {}
        rows = [
            row(source, texts, scores[source], floors[source], before.get(source)) for source, texts in heldout.items()
        ]
    documents = [
        {"text": hashing.digest(text).hex(), "bits_per_byte": nats / math.log(2) / size}
        for source, texts in heldout.items()
        for text, nats, size in zip(texts, scores[source].nats_D, scores[source].bytes_D, strict=True)
    ]
    dialogue_tables.write_rows(documents, DOCUMENTS_SCHEMA, out / "documents.parquet")
    result = {"sources": rows, "total": total(rows)}
    reporting.write_json(out / "bits_per_byte.json", result)
    reporting.write_text(out / "report.md", report(rows, result["total"]))
    plot(rows, out / "plots" / "bits_per_byte.png")
    overall = result["total"]
    below = sum(row["bits_per_byte"] < min(floor_figures(row).values()) for row in rows)
    return {**overall, "sources": len(rows), "sources_below_every_floor": below, "by_source": rows}


def read_texts(folder: Path, limit: int) -> dict[str, list[str]]:
    """Returns source → up to `limit` texts (0: all) in the order of their ids."""
    table = pq.read_table(folder, columns=["id", "source", "text"]).sort_by("id")
    texts: dict[str, list[str]] = {}
    for source, text in zip(table["source"].to_pylist(), table["text"].to_pylist(), strict=True):
        of_source = texts.setdefault(source, [])
        if text and (not limit or len(of_source) < limit):
            of_source.append(text)
    return {source: texts[source] for source in sorted(texts) if texts[source]}


def load(folder: Path):
    where = runtime.device()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.to(where).eval(), AutoTokenizer.from_pretrained(folder)


def score_sources(folder: Path, heldout: dict[str, list[str]], log) -> dict[str, Score]:
    """Returns source → score of its texts under the model in `folder`."""
    model, tokenizer = load(folder)
    scores = {}
    for number, (source, texts) in enumerate(heldout.items(), start=1):
        scores[source] = score_texts(model, tokenizer, texts)
        log.progress(number, len(heldout), unit="source", bits_per_byte=scores[source].bits_per_byte)
    return scores


def score_texts(model, tokenizer, texts: Sequence[str]) -> Score:
    """Returns the loss of each text in nats, over all its tokens and its end token."""
    start, end = document_tokens(tokenizer)
    rows = [[start, *dialog.encode_text(tokenizer, text), end] for text in texts]
    return Score(
        nats_D=score_rows(model, rows),
        bytes_D=np.array([len(text.encode()) for text in texts]),
        tokens=sum(len(row) - 1 for row in rows),
    )


def windows(length: int, context: int) -> list[tuple[int, int, int]]:
    """Returns windows (begin, end, first scored target) that cover targets 1 … length − 1 of a row exactly once.

    A window holds `context` inputs and moves by half a context, so each token after the first window is predicted from
    at least half a context of preceding text.
    """
    found, scored = [], 1
    while scored < length:
        begin = 0 if scored == 1 else scored - (context - context // 2)
        end = min(begin + context + 1, length)
        found.append((begin, end, scored))
        scored = end
    return found


@torch.inference_mode()
def score_rows(model, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Nats of the tokens after the first of each row, float64 [rows]. Long rows use overlapping windows."""
    context = model.config.max_position_embeddings
    spans = [
        (row[begin:end], first - begin, number)
        for number, row in enumerate(rows)
        for begin, end, first in windows(len(row), context)
    ]
    nats_D = np.zeros(len(rows))
    for group in batching.of_like_length([ids for ids, _, _ in spans], BATCH_TOKENS):
        chosen = [spans[place] for place in group]
        np.add.at(nats_D, [number for _, _, number in chosen], _batch_nats(model, chosen))
    return nats_D


def _batch_nats(model, spans: Sequence[tuple[Sequence[int], int, int]]) -> np.ndarray:
    """Nats of each span (ids, first scored target, number of its row), float64 [spans]."""
    width = max(len(ids) for ids, _, _ in spans)
    # With right padding and a causal mask, no scored token attends to padding.
    ids_BT = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids, _, _ in spans], device=model.device)
    place_T = torch.arange(1, width, device=model.device)
    first_B1 = torch.tensor([[first] for _, first, _ in spans], device=model.device)
    length_B1 = torch.tensor([[len(ids)] for ids, _, _ in spans], device=model.device)
    with runtime.autocast(model.device):
        logits_BTV = model(input_ids=ids_BT[:, :-1], use_cache=False).logits
    nats_BT = torch.nn.functional.cross_entropy(
        logits_BTV.float().flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="none"
    ).view(len(spans), -1)
    scored_BT = (place_T >= first_B1) & (place_T < length_B1)
    return (nats_BT.double() * scored_BT).sum(1).cpu().numpy()


def start_floors(pool: ThreadPoolExecutor, train: Path, heldout: dict[str, list[str]]) -> dict[str, dict[str, Future]]:
    """Starts all compressors. Returns source → compressor → future of the compressed bytes of its held-out texts."""
    futures: dict[str, dict[str, Future]] = {}
    for source, texts in heldout.items():
        training, held = training_bytes(train, source), join(texts)
        futures[source] = {"xz": pool.submit(xz_bytes, training, held)}
        for order in PPMD_ORDERS:
            futures[source][f"ppmd{order}"] = pool.submit(ppmd_bytes, training, held, order)
        futures[source]["training_bytes"] = pool.submit(len, training)
    return futures


def training_bytes(train: Path, source: str) -> bytes:
    """Returns the text a compressor learns from: each training document of a source once, at most the last FLOOR_BYTES.

    For a source with less than one epoch, that share of its documents.
    """
    table = pq.read_table(train, columns=["id", "text", "epochs"], filters=[("source", "=", source)]).sort_by("id")
    rows = zip(*(table[name].to_pylist() for name in ("id", "text", "epochs")), strict=True)
    return join([text for identifier, text, epochs in rows if copies(identifier, epochs)])[-FLOOR_BYTES:]


def join(texts: Sequence[str]) -> bytes:
    return b"".join(text.encode() + SEPARATOR for text in texts)


def xz_bytes(training: bytes, heldout: bytes) -> int:
    """Bytes that xz −9e needs for `heldout` after `training`, with a dictionary that spans both."""
    dictionary = max(1 << 20, 1 << (len(training) + len(heldout)).bit_length())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary}]
    size = [
        len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters)) for data in (training, training + heldout)
    ]
    return size[1] - size[0]


def ppmd_bytes(training: bytes, heldout: bytes, order: int) -> int:
    """Bytes that PPMd (variant H) needs for `heldout` after `training`, exact to a few bytes."""
    memory = min(PPMD_MEMORY, max(16 << 20, 64 * (len(training) + len(heldout))))
    encoder = pyppmd.Ppmd7Encoder(order, memory)
    encoder.encode(training)
    return len(encoder.encode(heldout)) + len(encoder.flush())


def row(
    source: str, texts: Sequence[str], score: Score, floors: dict[str, Future], before: Score | None = None
) -> dict:
    sizes = {name: future.result() for name, future in floors.items()}
    training = sizes.pop("training_bytes")
    return {
        "source": source,
        "documents": len(texts),
        "bytes": score.bytes,
        "tokens": score.tokens,
        "nats": score.nats,
        "bits_per_byte": score.bits_per_byte,
        **({"checkpoint": before.bits_per_byte} if before else {}),
        "bytes_per_token": score.bytes / score.tokens,
        "training_bytes": training,
        **{name: 8 * size / score.bytes for name, size in sizes.items()},
    }


def floor_figures(row: dict) -> dict[str, float]:
    return {name: row[name] for name in ("xz", *(f"ppmd{order}" for order in PPMD_ORDERS))}


def total(rows: Sequence[dict]) -> dict[str, float]:
    """Bits per byte over all sources, weighted by their bytes."""
    size = sum(row["bytes"] for row in rows)
    names = ("bits_per_byte", *(["checkpoint"] if "checkpoint" in rows[0] else []), *floor_figures(rows[0]))
    return {name: sum(row[name] * row["bytes"] for row in rows) / size for name in names}


def report(rows: Sequence[dict], overall: dict[str, float]) -> str:
    others = [*(["checkpoint"] if "checkpoint" in overall else []), *floor_figures(rows[0])]
    names = {
        "checkpoint": "the checkpoint it started from",
        "xz": "xz -9e",
        **{f"ppmd{order}": f"PPMd order {order}" for order in PPMD_ORDERS},
    }
    lines = [
        "# Bits per byte on held-out documents",
        "",
        "Lower is better. The model's loss covers every token and the end of each document. Compressors first read the",
        "training text of the same source (at most its last 32 MiB). Bold: the lowest of the row.",
        "",
        "| source | documents | bytes | **model** | " + " | ".join(names[name] for name in others) + " |",
        "|---|---|---|---|" + "---|" * len(others),
    ]
    sizes = {"documents": sum(r["documents"] for r in rows), "bytes": sum(r["bytes"] for r in rows)}
    for entry in [*rows, {"source": "all", **sizes, **overall}]:
        figures = [entry["bits_per_byte"], *(entry[name] for name in others)]
        shown = [f"**{figure:.3f}**" if figure == min(figures) else f"{figure:.3f}" for figure in figures]
        lines.append(f"| {entry['source']} | {entry['documents']:,} | {entry['bytes']:,} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[dict], path: Path) -> None:
    """Writes a bar chart: the model and the compressors for each source."""
    names = {
        "bits_per_byte": "model",
        "xz": "xz -9e",
        **{f"ppmd{order}": f"PPMd order {order}" for order in PPMD_ORDERS},
    }
    colours = ("#1f5fa8", "#c9c9c9", "#9a9a9a", "#6b6b6b")
    figure = Figure(figsize=(2.2 + 1.5 * len(rows), 3.6), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(names)
    for place, (name, label) in enumerate(names.items()):
        at = [index + (place - (len(names) - 1) / 2) * width for index in range(len(rows))]
        bars = axes.bar(at, [row[name] for row in rows], width * 0.92, label=label, color=colours[place])
        axes.bar_label(bars, fmt="%.2f", fontsize=6.5, padding=1)
    axes.set_xticks(range(len(rows)), [row["source"] for row in rows], fontsize=8, rotation=20, ha="right")
    axes.set_ylabel("bits per byte (held-out)")
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, 1.12))
    reporting.save_figure(figure, path)
