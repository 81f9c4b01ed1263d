"""The mixture: epochs of each source, held-out documents, and each source's share of the training text.

Factual sources are up-sampled (paper 2.1). The paper gives no weights; the epochs of Llama 1 (Wikipedia 2.45, books
2.23) are the only published reference. data_cleaning/fates.py decides which documents are trained on and held out.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from data_cleaning.dedup.apart import FINE_ROWS
from data_cleaning.dedup.bands import BandFiles, write_bands
from data_cleaning.dedup.minhash import shingles, signatures
from data_cleaning.dedup.sets import SetReader, write_sets
from data_cleaning.documents import DROPPED_FIELDS, add_up, shard_paths, text_bytes, write_shard
from data_cleaning.fates import (
    DUPLICATE,
    HELDOUT,
    REASONS,
    RETRACTED,
    SUPERSEDED,
    TRAIN,
    UNUSED,
    Delivery,
    decide,
)
from data_cleaning.files import write_json
from data_cleaning.filters.words import normalised
from data_cleaning.heldout import copies_of_heldout, word_digests
from data_cleaning.recipes import DedupRecipe, MixtureRecipe
from data_cleaning.retractions import Retraction, Scan, join, matching, of_recipe, scanned
from data_cleaning.shards import map_shards
from data_cleaning.snapshots import snapshot_order


@dataclass(frozen=True)
class SourceShare:
    """One line of proportions.json. Shares are of bytes.

    natural: each document once; nominal: times `epochs`, before documents are held out or left unused; realised: the
    contents of train/ times `epochs`.
    """

    source: str
    documents: int
    bytes: int
    heldout_documents: int
    train_documents: int
    train_bytes: int
    unused_documents: int
    epochs: float
    upsampled: bool
    natural_share: float
    nominal_share: float
    realised_share: float


def scan_shard(recipe: DedupRecipe, retractions: Sequence[Retraction], snapshot: str, shard: Path, out: Path) -> dict:
    """Writes a line about each document of a shard, its band keys and its shingles (8 bytes a word), to `_scratch/scan/`.

    The line has id, source, bytes, text hash, and the numbers of the retractions that the document meets.
    """
    table = pq.read_table(shard, columns=["id", "source", "text", "meta"])
    texts = normalised(table["text"])
    sets = shingles(texts, recipe.shingle_words)
    signed = signatures(sets, recipe.bands * recipe.rows, recipe.seed)
    columns = {
        "id": table["id"],
        "source": table["source"],
        "bytes": pc.cast(pc.binary_length(table["text"]), pa.int64()),
        "digest": pa.array(word_digests(texts), pa.binary(16)),
        "retractions": matching(retractions, table, texts),
    }
    write_shard(pa.table(columns), out / "_scratch" / "scan" / f"{snapshot}-{shard.name}")
    write_bands(signed, (recipe.rows, FINE_ROWS), out / "_scratch" / "scan" / f"{snapshot}-{shard.stem}.bands")
    write_sets(sets, out / "_scratch" / "scan" / f"{snapshot}-{shard.stem}.sets")
    return {"documents_in": table.num_rows}


def scan_delivered(retractions: Sequence[Retraction], snapshot: str, shard: Path, out: Path) -> dict:
    """Writes what retractions need of documents before any filter to `_scratch/delivered/`."""
    table = pq.read_table(shard, columns=["id", "text", "meta"])
    write_shard(scanned(retractions, table, False), out / "_scratch" / "delivered" / f"{snapshot}-{shard.name}")
    return {"documents_in": table.num_rows}


def write_parts(recipe: MixtureRecipe, decisions: Path, snapshot: str, shard: Path, out: Path) -> dict:
    """Writes one shard's rows to train/, heldout/ and dropped/ by the fates in the folder `decisions`.

    The `detail` of a superseded or retracted document is the snapshot that decided so, or "by a person" with the reason.
    That of a copy is the id of the document that stays, with their Jaccard similarity as `value`.
    """
    name = f"{snapshot}-{shard.stem}"
    table = pq.read_table(shard)
    decided = pq.read_table(decisions / f"{name}.parquet")
    fates = decided["fate"].to_numpy()
    epochs = dict(recipe.epochs)
    train = table.filter(pa.array(fates == TRAIN))
    times = pa.array(
        [epochs.get(source, recipe.default_epochs) for source in train["source"].to_pylist()], pa.float64()
    )
    if train.num_rows:
        write_shard(train.append_column("epochs", times), out / "train" / f"{name}.parquet")
    heldout = table.filter(pa.array(fates == HELDOUT))
    if heldout.num_rows:
        write_shard(heldout, out / "heldout" / f"{name}.parquet")
    reasons = [REASONS.get(fate) for fate in fates.tolist()]
    gone = pa.array([reason is not None for reason in reasons], pa.bool_())  # typed: a shard may be empty
    dropped = table.filter(gone)
    if dropped.num_rows:
        columns = (pa.array(reasons).filter(gone), decided["value"].filter(gone), decided["detail"].filter(gone))
        for field, column in zip(DROPPED_FIELDS, columns, strict=True):
            dropped = dropped.append_column(field, column)
        write_shard(dropped, out / "dropped" / f"{name}.parquet")
    figures = {f"dropped_{reason}": int((fates == fate).sum()) for fate, reason in REASONS.items()}
    return figures | {
        "documents_in": table.num_rows,
        "documents_out": train.num_rows,
        "bytes_in": text_bytes(table),
        "bytes_out": text_bytes(train),
        "heldout_documents": heldout.num_rows,
        "unused_documents": int((fates == UNUSED).sum()),
    }


def shares(scan: pa.Table, fates: np.ndarray, recipe: MixtureRecipe) -> list[SourceShare]:
    """Returns one line per source, the largest realised share first."""
    sources, sizes = np.array(scan["source"].to_pylist(), object), scan["bytes"].to_numpy()
    epochs = dict(recipe.epochs)
    present = ~np.isin(fates, (SUPERSEDED, RETRACTED, DUPLICATE))
    names = sorted(set(sources.tolist()))
    times = np.array([epochs.get(name, recipe.default_epochs) for name in names])
    whole = np.array([sizes[present & (sources == name)].sum() for name in names], float)
    trained = np.array([sizes[(fates == TRAIN) & (sources == name)].sum() for name in names], float)
    natural, nominal, realised = (part / max(part.sum(), 1) for part in (whole, whole * times, trained * times))
    lines = []
    for place, name in enumerate(names):
        of = fates[sources == name]
        lines.append(
            SourceShare(
                source=name,
                documents=int((present & (sources == name)).sum()),
                bytes=int(whole[place]),
                heldout_documents=int((of == HELDOUT).sum()),
                train_documents=int((of == TRAIN).sum()),
                train_bytes=int(trained[place]),
                unused_documents=int((of == UNUSED).sum()),
                epochs=float(times[place]),
                upsampled=bool(times[place] > 1),
                natural_share=round(float(natural[place]), 6),
                nominal_share=round(float(nominal[place]), 6),
                realised_share=round(float(realised[place]), 6),
            )
        )
    return sorted(lines, key=lambda line: (-line.realised_share, line.source))


def draw(lines: Sequence[SourceShare], path: Path) -> None:
    """Draws each source's natural and realised share as horizontal bars."""
    shown = list(lines)[:20][::-1]
    figure = Figure(figsize=(9, 1.6 + 0.55 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    natural, realised = (
        100 * np.array([getattr(line, name) for line in shown]) for name in ("natural_share", "realised_share")
    )
    axes.barh(places + 0.2, realised, 0.38, color="#2563a8", label="as trained on (times its epochs)")
    axes.barh(places - 0.2, natural, 0.38, color="#b9c6d6", label="as it is (each document once)")
    for place, line, was, now in zip(places, shown, natural, realised, strict=True):
        axes.text(now, place + 0.2, f" {now:.1f} %  ×{line.epochs:g}", va="center", fontsize=9)
        axes.text(was, place - 0.2, f" {was:.1f} %", va="center", fontsize=9, color="#555555")
    axes.set_yticks(places, [line.source for line in shown])
    axes.set_xlim(0, 1.25 * max(natural.max(initial=1), realised.max(initial=1)))
    axes.set_xlabel("share of training text (% of bytes)")
    axes.spines[["top", "right"]].set_visible(False)
    rest = f" ({len(lines) - len(shown)} smaller ones not shown)" if len(lines) > len(shown) else ""
    axes.set_title(f"Pretraining mixture: {len(lines)} sources{rest}", loc="left")
    figure.legend(loc="outside lower right", frameon=False, ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def verify_apart(out: Path) -> None:
    """Raises ValueError if a text of train/ is also in heldout/; compares the words in the files themselves."""
    if copies := copies_of_heldout(out):
        raise ValueError(
            f"{copies} texts are both in train/ and heldout/: remove the artifact's folder and make it again"
        )


def retracted_by_people(
    retractions: Sequence[Retraction],
    inputs: dict[str, Path],
    deliveries: Sequence[Delivery],
    parts: Sequence[pa.Table],
    out: Path,
    log,
) -> dict[int, str]:
    """Returns the detail of each document that a person retracted, by its row in the scan; copies are with them."""
    clean, delivered = Scan(), Scan()
    for delivery, part in zip(deliveries, parts, strict=True):
        clean.add(delivery.snapshot, part)
    if any(one.kind != "text" for one in retractions):  # a text selector finds copies by itself
        for snapshot in [role.partition("/")[2] for role in inputs if role.startswith("delivered/")]:
            shards = shard_paths(inputs[f"delivered/{snapshot}"])
            function = functools.partial(scan_delivered, retractions, snapshot)
            map_shards(function, shards, out, log, step=f"delivered-{snapshot}")
            for shard in shards:
                delivered.add(snapshot, pq.read_table(out / "_scratch" / "delivered" / f"{snapshot}-{shard.name}"))
    join(clean, delivered)
    return {row: retractions[min(numbers)].detail for row, numbers in enumerate(clean.numbers) if numbers}


def run(config: MixtureRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes train/ (with `epochs`), heldout/, dropped/ (outdated ones, copies of held-out texts), proportions.json.

    `inputs`: for each snapshot, its decontaminated artifact under `corpus/<snapshot>` and its documents before any
    filter under `delivered/<snapshot>`. Raises ValueError if there are no documents, or no source with epochs above 0,
    and RetractionError if the list of retractions is not the recipe's.
    """
    retractions = of_recipe(config.retractions)
    names = [role.removeprefix("corpus/") for role in inputs if role.startswith("corpus/")]
    names.sort(key=snapshot_order)
    deliveries = [Delivery(name, shard) for name in names for shard in shard_paths(inputs[f"corpus/{name}"])]
    if not deliveries:
        raise ValueError(
            "the mixture has no cleaned documents: materialize the corpus job for at least one snapshot first"
        )
    by_snapshot: dict[str, list[Path]] = {}
    for delivery in deliveries:
        by_snapshot.setdefault(delivery.snapshot, []).append(delivery.shard)
    for snapshot, shards in by_snapshot.items():
        function = functools.partial(scan_shard, config.dedup, retractions, snapshot)
        map_shards(function, shards, out, log, step=f"scan-{snapshot}")
    parts = [pq.read_table(out / "_scratch" / "scan" / f"{delivery.name}.parquet") for delivery in deliveries]
    scan = pa.concat_tables(parts)
    by_person = retracted_by_people(retractions, inputs, deliveries, parts, out, log) if retractions else {}
    starts = np.cumsum([0, *(part.num_rows for part in parts)])
    load = SetReader([out / "_scratch" / "scan" / f"{delivery.name}.sets" for delivery in deliveries], starts)
    keys = [out / "_scratch" / "scan" / f"{delivery.name}.bands" for delivery in deliveries]
    coarse = config.dedup.bands
    fine = coarse * config.dedup.rows // FINE_ROWS
    bands = BandFiles(keys, starts, 0, coarse), BandFiles(keys, starts, coarse, fine)
    decided = decide(config, inputs, names, deliveries, parts, scan, by_person, bands, load, log)
    fates = decided["fate"].to_numpy()
    for folder in ("train", "heldout", "dropped"):
        (out / folder).mkdir(exist_ok=True)
    start, decisions = 0, out / "_scratch" / "fates"
    for delivery, part in zip(deliveries, parts, strict=True):
        write_shard(decided.slice(start, part.num_rows), decisions / f"{delivery.name}.parquet")
        start += part.num_rows
    figures = []
    for snapshot, shards in by_snapshot.items():
        function = functools.partial(write_parts, config, decisions, snapshot)
        figures += map_shards(function, shards, out, log, step=f"parts-{snapshot}")
    if not (fates == TRAIN).any():
        raise ValueError(
            "nothing would be trained on: no source of the corpus has epochs above 0 in the mixture recipe, or all its "
            "documents are retracted"
        )
    verify_apart(out)
    lines = shares(scan, fates, config)
    report = {"snapshots": names, "sources": [asdict(line) for line in lines]}
    if by_person:  # otherwise the file stays as it was without retractions, and all that is made from it
        sources = scan["source"].to_pylist()
        report["retracted_by_people"] = dict(sorted(Counter(sources[row] for row in by_person).items()))
    write_json(out / "proportions.json", report)
    draw(lines, out / "plots" / "proportions.png")
    seen = sum(line.train_bytes * line.epochs for line in lines)
    realised = {line.source: line.realised_share for line in lines}
    figures = add_up(figures) | {"sources": len(lines), "bytes_seen": round(seen), "shares": realised}
    return figures | {"retractions": len(retractions), "retracted_by_people": len(by_person)}
