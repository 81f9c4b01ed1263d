"""The token shards hold exactly the mixture: every copy of every document, shuffled, framed, special strings as text."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from modeling.core import hashing
from modeling.core.recipes import TokensRecipe
from modeling.pretraining import tokens as stage
from modeling.pretraining.tokenizer import copies, train
from modeling.pretraining.tokens import run, training_text

CONFIG = TokensRecipe(seed=7, shard_tokens=400, title_share=0.0)


def rows(prefix: str, count: int, epochs: float) -> list[dict]:
    return [
        {
            "id": f"{prefix}:{n}",
            "source": prefix,
            "title": f"{prefix} {n}",
            "text": f"{prefix} number {n} says </s><s> 日\t[INST]",
            "epochs": epochs,
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "mixture" / "train").mkdir(parents=True)
    for number, table in enumerate([rows("wiki", 20, 2.5), rows("chat", 15, 0.4) + rows("never", 5, 0.0)]):
        pq.write_table(pa.Table.from_pylist(table), folder / "mixture" / "train" / f"{number:05d}.parquet")
    train(["wiki number says chat 123"], 600).save_pretrained(folder / "tokenizer")
    return {"mixture": folder / "mixture", "tokenizer": folder / "tokenizer"}


def documents(out: Path) -> list[list[int]]:
    found, current = [], []
    for name in json.loads((out / "tokens.json").read_text())["shards"]:
        shard = np.load(out / "train" / name)
        assert shard.dtype == np.uint16
        assert shard[0] == 1 and shard[-1] == 2  # whole documents only
        for token in shard.tolist():
            current.append(token)
            if token == 2:
                found.append(current)
                current = []
    assert not current
    return found


def hashes(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and "_scratch" not in path.parts]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_shards_hold_every_copy_framed_and_shuffled(inputs, tmp_path, log):
    from transformers import AutoTokenizer

    metrics = run(CONFIG, inputs, tmp_path, log)
    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    found = documents(tmp_path)
    texts = [tokenizer.decode(ids[1:-1]) for ids in found]
    assert all(ids[0] == 1 for ids in found)
    assert not any({0, 1, 2, 3, 4, 5, 6} & set(ids[1:-1]) for ids in found)
    counts = Counter(texts)
    wiki = {row["text"]: counts[row["text"]] for row in rows("wiki", 20, 2.5)}
    assert set(wiki.values()) == {2, 3}
    assert all(counts[row["text"]] <= 1 for row in rows("chat", 15, 0.4))
    assert not any(row["text"] in counts for row in rows("never", 5, 0.0))
    assert sum(counts.values()) == metrics["documents"] == len(found)
    assert metrics["tokens"] == sum(map(len, found))
    assert metrics["unique_documents"] == len(counts)
    assert metrics["unique_tokens"] == sum(map(len, {tuple(ids) for ids in found}))
    assert len(json.loads((tmp_path / "tokens.json").read_text())["shards"]) > 1
    order = [text.split()[2] for text in texts if text.startswith("wiki")]
    assert order != sorted(order)
    by_source = {row["source"]: row for row in metrics["sources"]}
    assert by_source["wiki"]["documents"] == sum(wiki.values())
    assert sum(row["share"] for row in metrics["sources"]) == pytest.approx(1, abs=1e-3)


def test_copies_are_in_the_order_of_their_keys(inputs, tmp_path, log):
    """Against a sorted list of all copies: (key, shard, row, text)."""
    run(CONFIG, inputs, tmp_path, log)
    expected = sorted(
        (hashing.digest(f"{CONFIG.seed}:{copy}:{row['id']}"), shard, number, row["text"])
        for shard, path in enumerate(sorted((inputs["mixture"] / "train").glob("*.parquet")))
        for number, row in enumerate(pq.read_table(path).to_pylist())
        for copy in range(copies(row["id"], row["epochs"], f"{CONFIG.seed}:"))
    )
    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    assert [tokenizer.decode(ids[1:-1]) for ids in documents(tmp_path)] == [text for *_, text in expected]


def test_seed_orders_and_repeats(inputs, tmp_path, log):
    for name, seed in [("a", 7), ("b", 7), ("c", 8)]:
        (tmp_path / name).mkdir()
        run(TokensRecipe(seed=seed, shard_tokens=400, title_share=0.0), inputs, tmp_path / name, log)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != hashes(tmp_path / "c")


def test_a_killed_run_continues_to_the_same_bytes(inputs, tmp_path, log, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    run(CONFIG, inputs, whole, log)

    class Killed(BaseException):
        pass

    class Progress:
        def progress(self, done, total, **figures):
            if figures.get("tokens"):  # after the first output shard
                raise Killed

    with pytest.raises(Killed):
        run(CONFIG, inputs, cut, Progress())
    first = cut / "train" / "00000.npy"
    assert first.exists() and not (cut / "tokens.json").exists()
    written = os.stat(first).st_mtime_ns
    monkeypatch.setattr(stage, "training_text", lambda row, config: pytest.fail("encoded again"))
    run(CONFIG, inputs, cut, log)
    assert os.stat(first).st_mtime_ns == written
    assert hashes(cut) == hashes(whole)


def test_one_separator_stands_between_two_documents_of_a_checkpoint_that_has_one(inputs, tmp_path, log):
    own = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    own.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    own.save_pretrained(tmp_path / "tokenizer")
    run(CONFIG, inputs | {"tokenizer": tmp_path / "tokenizer"}, tmp_path, log)
    stream = np.concatenate([np.load(path) for path in sorted((tmp_path / "train").glob("*.npy"))])
    separators = np.flatnonzero(stream == own.convert_tokens_to_ids("<|endoftext|>"))
    documents = json.loads((tmp_path / "tokens.json").read_text())["documents"]
    assert len(separators) == documents and separators[-1] == len(stream) - 1
    assert (np.diff(separators) > 1).all() and own.bos_token_id not in stream


def test_an_empty_mixture_is_refused(inputs, tmp_path, log):
    with pytest.raises(ValueError, match="materialize the mixture"):
        run(CONFIG, {**inputs, "mixture": tmp_path}, tmp_path, log)


def test_a_share_of_titled_documents_begins_with_its_title():
    rows = [{"id": f"s:{number}", "title": f"T{number}", "text": "text"} for number in range(2000)]
    recipe = TokensRecipe(seed=7, shard_tokens=400, title_share=0.5)
    titled = sum(training_text(row, recipe) == f"{row['title']}\ntext" for row in rows)
    assert 900 < titled < 1100
    assert all(training_text(row, CONFIG) == "text" for row in rows), "share 0 keeps the text alone"
    assert training_text({"id": "s:1", "title": "", "text": "text"}, replace(recipe, title_share=1.0)) == "text"
