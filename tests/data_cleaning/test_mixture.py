"""Who is held out, what is trained on how often, and that the two never meet."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data_cleaning import heldout as heldout_texts
from data_cleaning import mixture
from data_cleaning.dedup import apart
from data_cleaning.dedup.bands import BandsInMemory
from data_cleaning.dedup.minhash import jaccard, shingles, signatures
from data_cleaning.documents import read_documents, text_bytes
from data_cleaning.filters.words import normalised
from data_cleaning.recipes import MixtureRecipe
from orchestration.thresholds import corpus as corpus_recipe
from tests.data_cleaning.samples import artifact, contents, manual, mixture_inputs, table

RECIPE = MixtureRecipe(
    epochs=(("facts", 2.5), ("noise", 0.0)),
    factual_epochs=1.0,
    default_epochs=1.0,
    max_documents_per_source=0,
    heldout_share=0.05,
    full_deliveries=(),
    retractions=(),
    dedup=corpus_recipe().dedup,
    seed=3,
)


def passages(count: int, start: int = 0) -> list[str]:
    """Different real passages."""
    text = " ".join(manual())
    return [text[400 * number : 400 * number + 400] for number in range(start, start + count)]


@pytest.fixture
def corpus(tmp_path):
    mixed = pa.concat_tables([table(passages(100, 60), "prose"), table(["n"] * 9, "noise")])
    first = artifact(tmp_path / "2024-01", a=table(passages(60), "facts"), b=mixed)
    second = artifact(tmp_path / "2024-02", a=table(passages(40, 200), "other"), c=table(passages(3, 300), "few"))
    return mixture_inputs(s2024_01=first, s2024_02=second)


def held_by_hand(ids: list[str], share: float = 0.05) -> set[str]:
    """The ids below the threshold, else the first in order of hashes."""
    ranks = {one: int(hashlib.blake2b(one.encode(), digest_size=16).hexdigest()[:16], 16) / 2**64 for one in ids}
    return {one for one in ids if ranks[one] < share} or {min(ids, key=ranks.get)}


def edited(text: str) -> str:
    """The text with another word in its middle."""
    words = text.split()
    words[len(words) // 2] = "llama"
    return " ".join(words)


def test_held_out_are_the_hashes_below_the_threshold_and_never_trained_on(corpus, tmp_path, log):
    out = tmp_path / "out"
    figures = mixture.run(RECIPE, corpus, out, log)
    train, heldout = read_documents(out, "train"), read_documents(out, "heldout")
    ids = heldout["id"].to_pylist()
    expected = set()
    for source, count in (("facts", 60), ("prose", 100), ("other", 40), ("few", 3)):
        expected |= held_by_hand([f"{source}:{n}" for n in range(count)])
    assert set(ids) == expected and len(ids) == len(expected)
    assert not set(ids) & set(train["id"].to_pylist())
    assert not set(heldout["text"].to_pylist()) & set(train["text"].to_pylist())
    assert train.num_rows == 203 - len(ids) == figures["documents_out"]
    assert (
        figures["heldout_documents"] == len(ids) and figures["unused_documents"] == 9 and figures["documents_in"] == 212
    )
    times = dict(zip(train["source"].to_pylist(), train["epochs"].to_pylist(), strict=True))
    assert times == {"facts": 2.5, "prose": 1.0, "other": 1.0, "few": 1.0}
    assert "epochs" not in heldout.column_names


def test_proportions_add_up(corpus, tmp_path, log):
    out = tmp_path / "out"
    figures = mixture.run(RECIPE, corpus, out, log)
    report = json.loads((out / "proportions.json").read_text())
    lines = {line["source"]: line for line in report["sources"]}
    assert report["snapshots"] == ["2024-01", "2024-02"] and set(lines) == {"facts", "prose", "noise", "other", "few"}
    for share in ("natural_share", "nominal_share", "realised_share"):
        assert sum(line[share] for line in lines.values()) == pytest.approx(1, abs=1e-5)
    train = read_documents(out, "train")
    seen = {}
    for name in ("facts", "prose", "other", "few"):
        rows = train.filter(pc.equal(train["source"], name))
        seen[name] = text_bytes(rows) * (2.5 if name == "facts" else 1)
        assert lines[name]["train_bytes"] == text_bytes(rows) and lines[name]["train_documents"] == rows.num_rows
    assert figures["bytes_seen"] == sum(seen.values())
    for name, size in seen.items():
        assert (
            lines[name]["realised_share"]
            == pytest.approx(size / sum(seen.values()), abs=1e-5)
            == figures["shares"][name]
        )
    assert [name for name, line in lines.items() if line["upsampled"]] == ["facts"]
    assert lines["facts"]["nominal_share"] > lines["facts"]["natural_share"]
    assert lines["noise"]["unused_documents"] == 9 and lines["noise"]["realised_share"] == 0
    assert (out / "plots" / "proportions.png").stat().st_size > 5000


def test_growth_moves_nobody(tmp_path, log):
    parts = []
    for count in (60, 150):
        inputs = mixture_inputs(base=artifact(tmp_path / f"a{count}", x=table(passages(count), "facts")))
        mixture.run(RECIPE, inputs, tmp_path / f"out{count}", log)
        parts.append([set(read_documents(tmp_path / f"out{count}", part, ["id"])["id"].to_pylist())
                      for part in ("train", "heldout")])  # fmt: skip
    (train, held), (more_train, more_held) = parts
    assert train < more_train and held < more_held


@pytest.mark.parametrize("copy", [lambda text: text.upper() + "!", edited])
def test_training_copies_of_held_out_texts_are_dropped_with_a_reason(tmp_path, log, copy):
    texts = passages(40)
    first = min(held_by_hand([f"facts:{n}" for n in range(40)]))
    copied = copy(texts[int(first.split(":")[1])])
    rows = pa.concat_tables([table(texts, "facts"), table([copied, *passages(60, 100)], "prose")])
    assert "prose:0" not in held_by_hand([f"prose:{n}" for n in range(61)])
    out = tmp_path / "out"
    figures = mixture.run(RECIPE, mixture_inputs(base=artifact(tmp_path / "one", a=rows)), out, log)
    dropped = read_documents(out, "dropped").to_pylist()
    assert [(row["id"], row["reason"]) for row in dropped] == [("prose:0", "copy_of_heldout")]
    assert figures["dropped_copy_of_heldout"] == 1
    whole = [read_documents(out, part).num_rows for part in ("train", "heldout", "dropped")]
    assert sum(whole) == rows.num_rows


def test_near_duplicates_of_earlier_snapshots_go_and_say_of_which_document(tmp_path, log):
    texts = [" ".join(passages(5, 5 * number)) for number in range(12)]  # long: signatures differ in few values
    newer = table([edited(texts[0]), texts[1].upper(), *passages(10, 500)], "prose")
    inputs = mixture_inputs(
        s2024_01=artifact(tmp_path / "a", x=table(texts, "facts")), s2024_02=artifact(tmp_path / "b", x=newer)
    )
    figures = mixture.run(RECIPE, inputs, tmp_path / "out", log)
    dropped = read_documents(tmp_path / "out", "dropped").to_pylist()
    assert [(row["id"], row["reason"], row["detail"]) for row in dropped] == [
        ("prose:0", "duplicate_of_earlier_snapshot", "facts:0"),
        ("prose:1", "duplicate_of_earlier_snapshot", "facts:1"),
    ]
    assert 0.7 < dropped[0]["value"] < 1 == dropped[1]["value"]
    assert figures["dropped_duplicate_of_earlier_snapshot"] == 2


def test_the_far_end_of_a_chain_stays(log):
    """A is like B and B like C, but A is not like C: B goes, and C has no near-duplicate left."""
    recipe = replace(corpus_recipe().dedup, min_jaccard=0.7)
    words = [f"w{number}" for number in range(200)]
    texts = [" ".join([*words[shift:], *(f"x{number}" for number in range(shift))]) for shift in (0, 25, 50)]
    sets = shingles(normalised(pa.chunked_array([texts])), recipe.shingle_words)
    every = {number: sets.of(number) for number in range(3)}
    assert jaccard(every[0], every[1]) > 0.7 < jaccard(every[1], every[2]) and jaccard(every[0], every[2]) < 0.7
    signed = np.zeros((3, recipe.bands * recipe.rows), np.uint32)  # all are candidates
    found = apart.across_snapshots(
        BandsInMemory(signed, recipe.rows),
        np.arange(3),
        np.ones(3),
        ["a", "b", "c"],
        np.ones(3, bool),
        every.__getitem__,
        recipe,
    )
    assert {document: kept for document, (kept, _) in found.items()} == {1: 0}


def test_an_update_is_no_duplicate_of_its_older_version(tmp_path, log):
    texts = passages(20)
    newer = table([edited(text) for text in texts], "facts")
    inputs = mixture_inputs(
        s2024_01=artifact(tmp_path / "a", x=table(texts, "facts")), s2024_02=artifact(tmp_path / "b", x=newer)
    )
    figures = mixture.run(RECIPE, inputs, tmp_path / "out", log)
    assert figures["dropped_superseded"] == 20 and figures["dropped_duplicate_of_earlier_snapshot"] == 0
    kept = [read_documents(tmp_path / "out", part)["text"].to_pylist() for part in ("train", "heldout")]
    assert sorted(kept[0] + kept[1]) == sorted(newer["text"].to_pylist())


def test_the_copies_found_are_those_of_all_pairs(log):
    """Texts with ever more edits of one another, against the true similarity of every pair."""
    recipe, base = corpus_recipe().dedup, passages(12)
    texts = list(base)
    for text in base:
        words = text.split()
        for edits in (1, 2, 4, 8):
            changed = list(words)
            for number in range(edits):
                changed[(number * 7 + 3) % len(changed)] = f"word{number}"
            texts.append(" ".join(changed))
    sets = shingles(normalised(pa.chunked_array([texts])), recipe.shingle_words)
    signed = signatures(sets, recipe.bands * recipe.rows, recipe.seed)
    all_sets = {number: sets.of(number) for number in range(len(texts))}
    held, others = list(range(12)), list(range(12, len(texts)))
    found = apart.copies_of(
        pa.array(held).to_numpy(),
        pa.array(others).to_numpy(),
        BandsInMemory(signed, apart.FINE_ROWS),
        all_sets.__getitem__,
        recipe,
    )
    best = {other: max(jaccard(all_sets[other], all_sets[one]) for one in held) for other in others}
    true = {other for other, value in best.items() if value >= recipe.min_jaccard}
    assert set(found) == true and 12 <= len(true) < len(others)
    assert all(found[other][1] == best[other] for other in true)


def test_the_gate_measures_near_copies_in_the_files_themselves(tmp_path):
    texts = passages(6)
    artifact(tmp_path, a=table(texts[:2])).joinpath("documents").rename(tmp_path / "heldout")
    artifact(tmp_path, a=table([edited(texts[0]), *texts[2:]])).joinpath("documents").rename(tmp_path / "train")
    assert heldout_texts.copies_of_heldout(tmp_path) == 0
    assert heldout_texts.near_copies_of_heldout(tmp_path, RECIPE.dedup) == 1
    assert heldout_texts.near_copies_of_heldout(tmp_path, replace(RECIPE.dedup, min_jaccard=0.99)) == 0


def test_the_last_snapshot_counts_where_an_id_comes_again(tmp_path, log):
    older, newer = table(passages(30), "facts"), table(passages(10, 500), "facts")
    out = tmp_path / "out"
    inputs = mixture_inputs(s2024_01=artifact(tmp_path / "a", x=older), s2024_02=artifact(tmp_path / "b", x=newer))
    figures = mixture.run(RECIPE, inputs, out, log)
    assert figures["dropped_superseded"] == 10
    parts = [read_documents(out, part, ["id", "text"]).to_pylist() for part in ("train", "heldout")]
    everything = parts[0] + parts[1]
    found = {row["id"]: row["text"] for row in everything}
    assert len(everything) == len(found) == 30
    assert [found[f"facts:{n}"] for n in range(10)] == newer["text"].to_pylist()


def test_the_base_delivery_is_the_oldest_whatever_its_name(tmp_path, log):
    """In the order of names alone "base" comes behind "2026-12" and would take the place of the update."""
    older, newer = table(passages(3), "facts"), table(passages(3, 500), "facts")
    inputs = mixture_inputs(base=artifact(tmp_path / "a", x=older), s2026_12=artifact(tmp_path / "b", x=newer))
    mixture.run(RECIPE, inputs, tmp_path / "out", log)
    assert read_documents(tmp_path / "out", "dropped")["text"].to_pylist() == older["text"].to_pylist()
    assert json.loads((tmp_path / "out" / "proportions.json").read_text())["snapshots"] == ["base", "2026-12"]


def test_documents_that_share_an_id_share_a_fate(tmp_path, log):
    """Two files of a delivery may hold one id; both documents stay, and never one held out and one trained on."""
    rows = table(passages(40), "facts")
    inputs = mixture_inputs(base=artifact(tmp_path / "a", x=rows, y=table(passages(40, 100), "facts")))
    figures = mixture.run(RECIPE, inputs, tmp_path / "out", log)
    train, heldout = (read_documents(tmp_path / "out", part, ["id"])["id"].to_pylist() for part in ("train", "heldout"))
    assert figures["dropped_superseded"] == 0 and len(train) + len(heldout) == 80
    expected = held_by_hand([f"facts:{n}" for n in range(40)])
    assert set(heldout) == expected and len(heldout) == 2 * len(expected)
    assert not set(train) & set(heldout)


def test_a_limit_chooses_by_seed_and_counts_what_is_unused(corpus, tmp_path, log):
    chosen = []
    for seed in (1, 1, 2):
        recipe = replace(RECIPE, epochs=(), max_documents_per_source=20, seed=seed)
        out = tmp_path / f"out{len(chosen)}"
        figures = mixture.run(recipe, corpus, out, log)
        train = read_documents(out, "train")
        assert pc.value_counts(train["source"]).to_pylist()[0]["counts"] == 20
        others = ("unused_documents", "heldout_documents", "dropped_copy_of_heldout")
        assert train.num_rows + sum(figures[name] for name in others) == 212
        chosen.append(set(train["id"].to_pylist()))
    assert chosen[0] == chosen[1] != chosen[2]
    assert read_documents(tmp_path / "out0", "heldout").equals(read_documents(tmp_path / "out2", "heldout"))


def test_stage_continues_to_the_same_bytes(corpus, tmp_path, log):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    figures = mixture.run(RECIPE, corpus, whole, log)
    mixture.run(RECIPE, corpus, cut, log)
    (cut / "train" / "2024-01-a.parquet").unlink()
    (cut / "_scratch" / "parts-2024-01" / "a.json").unlink()
    (cut / "proportions.json").unlink()
    assert mixture.run(RECIPE, corpus, cut, log) == figures
    assert contents(cut) == contents(whole)


def test_meeting_parts_are_refused(tmp_path):
    for part in ("train", "heldout"):
        (tmp_path / part).mkdir()
    pq.write_table(table(["One text."]), tmp_path / "train" / "a.parquet")
    pq.write_table(table(["one TEXT"]), tmp_path / "heldout" / "a.parquet")
    with pytest.raises(ValueError, match="both in train/ and heldout/"):
        mixture.verify_apart(tmp_path)


def test_nothing_to_train_on_is_an_error(tmp_path, log):
    with pytest.raises(ValueError, match="materialize the corpus job"):
        mixture.run(RECIPE, {}, tmp_path / "none", log)
    inputs = mixture_inputs(base=artifact(tmp_path / "a", x=table(passages(5), "noise")))
    with pytest.raises(ValueError, match="epochs above 0"):
        mixture.run(RECIPE, inputs, tmp_path / "out", log)
