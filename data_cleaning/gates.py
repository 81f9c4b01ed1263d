"""Gates of the corpus: each tells (passed, why, figures) of an artifact, from it and from what it was made of."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.documents import read_documents, shard_paths, text_bytes
from data_cleaning.report import count_by
from data_cleaning.units import megabytes
from data_cleaning.words import normalised

MAX_LOST = 0.9  # a step that drops more of what it was given than this is more likely broken than strict
MAX_QUARANTINED = 0.5

Verdict = tuple[bool, str, dict]


def every_source_read(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Each fetched corpus source gave documents, and most of its records, and of its bytes, were readable."""
    fetched = json.loads((inputs["sources"] / "sources.json").read_text(encoding="utf-8"))
    documents = count_by(shard_paths(artifact), "source")
    entries, sizes = Counter(), Counter()  # both: one entry may stand for the rest of a file
    with (artifact / "quarantine.jsonl").open(encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            entries[entry["source"]] += 1
            sizes[entry["source"]] += entry["bytes"]
    bad = []
    for source in fetched:
        if source["use"] != "corpus":
            continue
        name = source["name"]
        read, refused = documents.get(name, {"documents": 0, "bytes": 0}), entries[name]
        records = read["documents"] + refused
        size = max(source["bytes"], read["bytes"] + sizes[name])  # markup makes files, packing documents the larger
        if not read["documents"]:
            bad.append(f"{name} gave no document")
        elif refused > MAX_QUARANTINED * records:
            bad.append(f"{name}: {refused} of {records} records quarantined")
        elif sizes[name] > MAX_QUARANTINED * size:
            bad.append(f"{name}: {megabytes(sizes[name])} of {megabytes(size)} quarantined")
    why = "; ".join(bad) or "every source was read"
    figures = {"documents": sum(count["documents"] for count in documents.values()), "quarantined": entries.total()}
    return not bad, why, figures | {"quarantined_bytes": sizes.total()}


def _judged(inputs: dict[str, Path]) -> Path:
    """The parent whose documents the step judged: the one that holds any."""
    return next(folder for folder in inputs.values() if (folder / "documents").is_dir())


def nothing_lost(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Kept and dropped documents together are exactly the parent's, and the step did not drop nearly everything."""
    given = read_documents(_judged(inputs), columns=["id", "text"])
    kept, dropped = (read_documents(artifact, part, columns=["id", "text"]) for part in ("documents", "dropped"))
    before = given["id"].to_pylist()
    after = kept["id"].to_pylist() + dropped["id"].to_pylist()
    figures = {"given": len(before), "kept": kept.num_rows, "dropped": dropped.num_rows,
               "bytes_kept": text_bytes(kept)}  # fmt: skip
    if sorted(before) != sorted(after):
        missing, extra = set(before) - set(after), set(after) - set(before)
        return False, f"{len(missing)} documents vanished, {len(extra)} came from nowhere, or some stand twice", figures
    if kept.num_rows < (1 - MAX_LOST) * given.num_rows:
        return False, f"only {kept.num_rows} of {given.num_rows} documents kept", figures
    return True, f"{kept.num_rows} kept and {dropped.num_rows} dropped make the {given.num_rows} given", figures


def heldout_apart(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """No held-out document is trained on, by id or by text; all come from the clean corpus; none is trained on too often."""
    train, heldout = (pq.read_table(artifact / part, columns=["id", "text"]) for part in ("train", "heldout"))
    clean = set()
    for folder in inputs.values():
        clean.update(read_documents(folder, columns=["id"])["id"].to_pylist())
    train_ids, heldout_ids = train["id"].to_pylist(), heldout["id"].to_pylist()
    figures = {"train": len(train_ids), "heldout": len(heldout_ids)}
    if shared := set(train_ids) & set(heldout_ids):
        return False, f"{len(shared)} held-out documents are in the training part", figures
    repeated = pc.is_in(normalised(train["text"]), value_set=normalised(heldout["text"]))
    if copies := pc.sum(repeated).as_py():
        return False, f"{copies} training documents repeat a held-out text", figures
    if strangers := (set(train_ids) | set(heldout_ids)) - clean:
        return False, f"{len(strangers)} documents are not of the clean corpus", figures
    if not train_ids or not heldout_ids:
        return False, "the mixture holds no documents to train on, or none to hold out", figures
    return True, "held-out documents are nowhere in the training part", figures
