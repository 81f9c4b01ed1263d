"""The partitioned stage against deduplication in one process with all documents in memory: equal files, byte for byte."""

import dataclasses
import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_cleaning import shards
from data_cleaning.dedup import partitions, similar
from data_cleaning.dedup import stage as dedup
from data_cleaning.dedup.clusters import Forest, unite
from data_cleaning.dedup.minhash import jaccard
from data_cleaning.dedup.partitions import Bucket
from data_cleaning.documents import read_documents
from data_cleaning.recipes import DedupRecipe
from orchestration.thresholds import corpus
from tests.data_cleaning.dedup import oracle
from tests.data_cleaning.raw import CHECKOUT
from tests.data_cleaning.samples import artifact, contents, licences, manual, table

# Many rows in few bands would put unlike documents apart: here buckets are wide, and clusters depend on their order.
WIDE = DedupRecipe(shingle_words=2, bands=6, rows=2, min_jaccard=0.6, notices=("cookie",), ranks=(("a", 0),), seed=1)


def invented(rng: random.Random, count: int) -> list[str]:
    """Short texts in families: chains of versions, pages of a template near the threshold, copies, and empty ones."""
    texts = ["", "!", "One", "one"]
    while len(texts) < count:
        words = [f"w{rng.randrange(400)}" for _ in range(rng.randrange(3, 60))]
        kind = rng.randrange(4)
        for number in range(rng.randrange(1, 12)):
            if kind == 0:  # a chain: each version is an edit of the one before
                words = list(words)
                for _ in range(rng.randrange(1, 4)):
                    words[rng.randrange(len(words))] = f"v{rng.randrange(10_000)}"
            elif kind == 1:  # a template with words of its own
                texts.append(
                    " ".join([*words, *(f"u{rng.randrange(10**6)}" for _ in range(rng.randrange(len(words))))])
                )
                continue
            elif kind == 2 and number % 2:
                texts.append(" ".join(words).upper() + "." * rng.randrange(3))
                continue
            texts.append(" ".join(words) + ("\nA cookie" if rng.random() < 0.1 else ""))
    rng.shuffle(texts)
    return texts[:count]


def sharded(rng: random.Random, folder: Path, texts: list[str]) -> Path:
    """An artifact of the texts in shards of different lengths, some empty; ids may come twice."""
    tables, start = {}, 0
    while start < len(texts):
        end = start + rng.choice([0, 1, 7, 40, 90])
        tables[f"s{len(tables):03}.part"] = table(texts[start:end], rng.choice("abc"))
        start = end
    return artifact(folder, **tables)


def both(recipe: DedupRecipe, inputs: dict[str, Path], folder: Path, log) -> tuple[dict, dict]:
    """The files of the oracle and of the stage."""
    expected, out = folder / "expected", folder / "out"
    oracle.deduplicate(recipe, inputs, expected)
    out.mkdir()
    dedup.run(recipe, inputs, out, log)
    return contents(expected), contents(out)


@pytest.mark.parametrize("seed", range(8))
def test_every_order_and_sharding_gives_the_files_of_one_process(seed, tmp_path, log, monkeypatch):
    rng = random.Random(seed)
    monkeypatch.setattr(partitions, "PARTITION_KEYS", rng.choice([40, 120, 10**6]))
    monkeypatch.setattr(similar, "FEW", rng.choice([0, 1, 8]))
    monkeypatch.setattr(similar, "PASS_SHINGLES", rng.choice([100, 10**6]))
    inputs = {"pii": sharded(rng, tmp_path / "pii", invented(rng, 300))}
    for name in rng.sample(["2023", "2024-01"], seed % 3):
        inputs[f"earlier/{name}"] = sharded(rng, tmp_path / name, invented(rng, 60) + read_texts(inputs["pii"])[::9])
    recipe = dataclasses.replace(WIDE, min_jaccard=rng.choice([0.3, 0.5, 0.7, 1.0]), rows=rng.choice([1, 2, 3]))
    expected, found = both(recipe, inputs, tmp_path, log)
    assert found == expected and read_documents(tmp_path / "out", "dropped").num_rows > 20


def read_texts(folder: Path) -> list[str]:
    return read_documents(folder)["text"].to_pylist()


def test_real_texts_and_the_recipe_of_the_corpus(tmp_path, log, monkeypatch):
    """In processes of this machine, with partitions of few keys."""
    monkeypatch.setenv("CRIA_WORKERS", "2")
    monkeypatch.setattr(shards, "SMALL_BYTES", 0)
    monkeypatch.setattr(partitions, "PARTITION_KEYS", 200)
    rng = random.Random(5)
    texts = licences()[:150]
    for text in manual()[:60]:
        words = text.split()[:300]
        for edits in (0, 2, 8, 20):
            for place in rng.sample(range(len(words)), min(edits, len(words))):
                words[place] = rng.choice(words) + "x"
            texts.append(" ".join(words))
    rng.shuffle(texts)
    inputs = {"pii": sharded(rng, tmp_path / "pii", texts)}
    expected, found = both(corpus().dedup, inputs, tmp_path, log)
    assert found == expected and read_documents(tmp_path / "out", "dropped").num_rows > 50


SETS = {1: range(100), 2: range(100, 200), 3: range(50, 150), 4: range(8, 108), 5: range(300, 400), 6: range(305, 405)}


def united(
    bucket: list[int], links: list[int], before: list[tuple[int, int]], least: float
) -> tuple[list[set[int]], int]:
    """The clusters after the bucket, where pairs were joined before, and the similarities computed."""
    forest = Forest(len(SETS) + 1)
    for pair in before:
        forest.join(*(forest.root(document) for document in pair))
    found = Bucket(np.array(bucket), np.array(links, np.int32))
    compared = unite(found, bucket, forest, lambda one: np.array(SETS[one], np.uint64), least)
    groups: dict[int, set[int]] = {}
    for document in SETS:
        groups.setdefault(forest.root(document), set()).add(document)
    return [group for group in groups.values() if len(group) > 1], compared


def compared_in_order(bucket: list[int], before: list[tuple[int, int]], least: float) -> list[set[int]]:
    """The definition, with sets of documents as clusters."""
    groups = [{document} for document in SETS]

    def of(document: int) -> set[int]:
        return next(group for group in groups if document in group)

    def join(first: int, second: int) -> None:
        if of(first) is not of(second):
            other = of(second)
            groups.remove(other)
            of(first).update(other)

    for pair in before:
        join(*pair)
    heads: list[int] = []
    for document in bucket:
        for head in heads:
            alike = jaccard(*(np.array(SETS[one], np.uint64) for one in (head, document))) >= least
            if of(head) is of(document) or alike:
                join(head, document)
                break
        else:
            heads.append(document)
    return [group for group in groups if len(group) > 1]


def test_earlier_clusters_change_what_a_link_means(monkeypatch):
    """Every order of a bucket and up to two earlier joins, against the definition; few need a similarity again."""
    again = 0
    for few, least in itertools.product((0, 8), (0.3, 0.6)):
        monkeypatch.setattr(similar, "FEW", few)
        for bucket in itertools.permutations(SETS, 5):
            heads = similar.Similar(lambda one: np.array(SETS[one], np.uint64), least, bucket)
            links = partitions.links_of(bucket, heads)
            for before in ([], [(1, 2)], [(1, 5), (5, 2)], [(2, 5), (4, 6)]):
                found, compared = united(list(bucket), links, before, least)
                again += compared
                expected = compared_in_order(list(bucket), before, least)
                assert sorted(map(sorted, found)) == sorted(map(sorted, expected)), (bucket, before)
    assert again > 0, "some links were to be decided again"


STAGE = """
import os, signal, sys
from pathlib import Path
from data_cleaning import shards
from data_cleaning.dedup import partitions, stage
from tests.data_cleaning.dedup.test_partitions import WIDE
from tests.data_cleaning.raw import Quiet
partitions.PARTITION_KEYS = 60
parent, out, step, count = sys.argv[1:]
write = shards.write_json

def write_and_die(path, value):
    write(path, value)
    if path.parent.name == step and len(list(path.parent.glob("*.json"))) == int(count):
        os.kill(os.getpid(), signal.SIGKILL)

shards.write_json = write_and_die
stage.run(WIDE, {"pii": Path(parent)}, Path(out), Quiet())
"""


@pytest.mark.parametrize("step", ["signatures-pii-done", "exact", "links", "choice", "filter"])
def test_killed_in_any_step_it_ends_with_the_same_bytes(step, tmp_path):
    rng = random.Random(step)
    parent, out = sharded(rng, tmp_path / "pii", invented(rng, 400)), tmp_path / "out"
    out.mkdir()
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "CRIA_WORKERS": "1"}
    command = [sys.executable, "-c", STAGE, str(parent), str(out), step]
    count = 1 if step == "choice" else rng.randrange(1, 7)
    killed = subprocess.run([*command, str(count)], env=environment, cwd=CHECKOUT)
    assert killed.returncode == -signal.SIGKILL, "the stage was to die at work"
    marks = {path: path.stat().st_mtime_ns for path in (out / "_scratch" / step).glob("*.json")}
    assert len(marks) == count
    subprocess.run([*command, "0"], env=environment, cwd=CHECKOUT, check=True)
    assert {path: path.stat().st_mtime_ns for path in marks} == marks, "a finished partition was made again"
    oracle.deduplicate(WIDE, {"pii": parent}, tmp_path / "expected")
    assert contents(out) == contents(tmp_path / "expected")
