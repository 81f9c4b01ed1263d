"""Gates of the corpus: each tells (passed, why, figures) of an artifact, from it and from what it was made of."""

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.documents import read_documents, text_bytes
from data_cleaning.words import normalised

MAX_LOST = 0.9  # a step that drops more of what it was given than this is more likely broken than strict
MAX_QUARANTINED = 0.5

Verdict = tuple[bool, str, dict]


def every_source_read(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Each fetched corpus source gave documents, and most of its records were readable."""
    fetched = json.loads((inputs["sources"] / "sources.json").read_text(encoding="utf-8"))
    counted = pc.value_counts(read_documents(artifact, columns=["source"])["source"]).to_pylist()
    documents = {row["values"]: row["counts"] for row in counted}
    quarantined: dict[str, int] = {}
    with (artifact / "quarantine.jsonl").open(encoding="utf-8") as file:
        for line in file:
            name = json.loads(line)["source"]
            quarantined[name] = quarantined.get(name, 0) + 1
    bad = []
    for source in fetched:
        if source["use"] != "corpus":
            continue
        read, refused = documents.get(source["name"], 0), quarantined.get(source["name"], 0)
        if not read:
            bad.append(f"{source['name']} gave no document")
        elif refused > MAX_QUARANTINED * (read + refused):
            bad.append(f"{source['name']}: {refused} of {read + refused} records quarantined")
    why = "; ".join(bad) or "every source was read"
    return not bad, why, {"documents": sum(documents.values()), "quarantined": sum(quarantined.values())}


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
