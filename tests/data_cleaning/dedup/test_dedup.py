"""Deduplication against brute force over all pairs, against datasketch's own index, and its promises to the next stage."""

import dataclasses
import itertools
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasketch import MinHash, MinHashLSH

from data_cleaning.dedup import minhash
from data_cleaning.dedup import stage as dedup
from data_cleaning.dedup.clusters import keep_from
from data_cleaning.dedup.signed import notice_lines, sign_shard
from data_cleaning.documents import read_documents
from data_cleaning.filters.words import normalised
from data_cleaning.recipes import DedupRecipe
from tests.data_cleaning.dedup.oracle import Pairs
from tests.data_cleaning.samples import artifact, contents, licences, manual, table

RECIPE = DedupRecipe(shingle_words=5, bands=14, rows=8, min_jaccard=0.8, notices=(), ranks=(), seed=1)


def shingle_set(text: str, n: int = 5) -> set[tuple[str, ...]]:
    """The definition, without hashes."""
    words = re.sub(r"[\W_]+", " ", text.lower()).split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)} or {tuple(words)}


def true_jaccard(first: set, second: set) -> float:
    return len(first & second) / len(first | second)


def reaches(first: set, second: set, least: float) -> bool:
    """Whether the Jaccard similarity is at least this; sets of too different sizes need no comparison."""
    small, large = sorted((len(first), len(second)))
    return small >= least * large and true_jaccard(first, second) >= least


def edited(text: str, share: float, rng: random.Random) -> str:
    """The text with a share of its words replaced by others of it."""
    words = text.split()
    for place in rng.sample(range(len(words)), int(share * len(words))):
        words[place] = rng.choice(words) + "x"
    return " ".join(words)


@pytest.fixture(scope="module")
def near() -> list[str]:
    """Licences (near-duplicates by nature) and passages of the manual with edited, cut and lengthened versions."""
    rng = random.Random(7)
    passages = [text[at : at + 1500] for text in manual() for at in range(0, min(len(text), 4500) - 1499, 1500)][:60]
    versions = []
    for passage in passages:
        versions += [edited(passage, share, rng) for share in (0.005, 0.01, 0.02, 0.04, 0.08)]
        versions += [
            passage[: int(len(passage) * 0.9)],
            passage + " " + rng.choice(passages)[:150],
            passage.upper() + "!",
        ]
    return licences()[:120] + passages + versions


def test_shingles_have_the_jaccard_of_the_definition(near):
    some = near[::9]
    sets = minhash.shingles(normalised(pa.array(some)), 5)
    similarity = Pairs(sets)
    exact = [shingle_set(text) for text in some]
    for a, b in itertools.combinations(range(len(some)), 2):
        assert similarity(a, b) == pytest.approx(true_jaccard(exact[a], exact[b]))


def test_candidates_are_those_of_datasketch(near):
    """Same signatures, same bands: our sorted buckets hold the pairs that MinHashLSH answers."""
    texts = normalised(pa.array(near))
    sets = minhash.shingles(texts, RECIPE.shingle_words)
    signed = minhash.signatures(sets, RECIPE.bands * RECIPE.rows, RECIPE.seed)
    ours = {pair for bucket in minhash.buckets(signed, RECIPE.bands, RECIPE.rows)
            for pair in itertools.combinations(sorted(bucket.tolist()), 2)}  # fmt: skip
    index = MinHashLSH(num_perm=112, params=(RECIPE.bands, RECIPE.rows))
    sketches = [MinHash(seed=RECIPE.seed, hashvalues=row, scheme="affine32") for row in signed]
    for number, sketch in enumerate(sketches):
        index.insert(number, sketch)
    theirs = {tuple(sorted((number, other))) for number, sketch in enumerate(sketches) for other in index.query(sketch)
              if other != number}  # fmt: skip
    assert ours == theirs and len(ours) > 300


def test_signatures_are_those_of_datasketch(near):
    texts = [*near[::20], "short", "", "two words", "one two three four five"]
    sets = minhash.shingles(normalised(pa.array(texts)), 5)
    low = [(sets.of(row) & np.uint64(0xFFFFFFFF)).tolist() for row in range(len(texts))]
    theirs = MinHash.bulk(low, num_perm=112, seed=9, hashfunc=int, scheme="affine32")
    np.testing.assert_array_equal(minhash.signatures(sets, 112, 9), [sketch.hashvalues for sketch in theirs])


def test_signatures_estimate_jaccard(near):
    sets = minhash.shingles(normalised(pa.array(near)), 5)
    signed = minhash.signatures(sets, 112, 3)
    similarity = Pairs(sets)
    pairs = [(120 + i, 180 + 8 * i + k) for i in range(60) for k in range(7)]
    errors = [float((signed[a] == signed[b]).mean()) - similarity(a, b) for a, b in pairs]
    assert abs(np.mean(errors)) < 0.02 and np.std(errors) < 0.06  # sqrt(s (1 - s) / 112) is at most 0.047


def test_recall_and_precision_against_brute_force(near, tmp_path, log):
    parent = artifact(tmp_path / "pii", one=table(near[::2], "a"), two=table(near[1::2], "b"))
    out = tmp_path / "out"
    figures = dedup.run(RECIPE, {"pii": parent}, out, log)
    everything = read_documents(parent)
    text = dict(zip(everything["id"].to_pylist(), everything["text"].to_pylist(), strict=True))
    sets = {identifier: shingle_set(words) for identifier, words in text.items()}
    kept = read_documents(out)["id"].to_pylist()
    dropped = read_documents(out, "dropped").to_pylist()
    right = [true_jaccard(sets[row["id"]], sets[row["detail"]]) for row in dropped]
    assert [row["value"] for row in dropped] == pytest.approx(right)
    assert np.mean([value >= 0.8 for value in right]) >= 0.99
    assert {row["detail"] for row in dropped} <= set(kept)
    alike = [pair for pair in itertools.combinations(text, 2) if reaches(sets[pair[0]], sets[pair[1]], 0.8)]
    assert len({identifier for pair in alike for identifier in pair}) > 300
    stays = set(kept)
    left = sum(a in stays and b in stays for a, b in alike)
    found = len(dropped)
    assert found / (found + left) >= 0.95  # each pair that is left is one document too many
    assert figures["dropped_near_duplicate"] > 200 and figures["dropped_exact_duplicate"] > 50


def test_the_longest_stays_and_then_the_smallest_id(tmp_path, log):
    words = manual()[3].split()[:120]
    texts = [
        " ".join(words),
        " ".join(words) + " and more",
        " ".join(words).upper(),
        "other words " * 5,
        "Other, words! " * 5,
    ]
    out = tmp_path / "out"
    dedup.run(RECIPE, {"pii": artifact(tmp_path / "pii", one=table(texts, "a"))}, out, log)
    assert read_documents(out)["id"].to_pylist() == ["a:1", "a:4"]
    gone = {row["id"]: (row["reason"], row["detail"]) for row in read_documents(out, "dropped").to_pylist()}
    assert gone == {
        "a:0": ("near_duplicate", "a:1"),
        "a:2": ("exact_duplicate", "a:1"),  # a copy of a:0, whose words are kept in a:1
        "a:3": ("exact_duplicate", "a:4"),
    }


def test_the_order_of_who_stays(tmp_path, log):
    """An encyclopedia before a longer crawl copy, a licensed source before another, a clean copy before a cookie banner."""
    one, two, three = (" ".join(text.split()[:150]) for text in manual()[3:6])
    banner = "\nThis site uses cookies. Privacy policy\nWe use cookies."
    sources = {
        "crawl": [f"{one} And more.", f"{two} And more.", three + banner],
        "books": [two],
        "facts": [one],
        "mirror": [f"{three} Right."],
    }
    shards = {source: table(texts, source) for source, texts in sources.items()}
    ranks = (("books", 1), ("crawl", 2), ("facts", 0), ("mirror", 2))
    recipe = dataclasses.replace(RECIPE, ranks=ranks, notices=("uses cookies", "privacy policy", "use cookies"))
    out = tmp_path / "out"
    dedup.run(recipe, {"pii": artifact(tmp_path / "pii", **shards)}, out, log)
    assert sorted(read_documents(out)["id"].to_pylist()) == ["books:0", "facts:0", "mirror:0"]
    rows = {row["id"]: row["decided_by"] for row in pq.read_table(out / "clusters.parquet").to_pylist()}
    reasons = {"crawl:0": "source", "crawl:1": "source", "crawl:2": "cleanliness"}
    assert rows == reasons | {"facts:0": "", "books:0": "", "mirror:0": ""}


def test_a_source_without_a_rank_comes_last(tmp_path, log):
    text = " ".join(manual()[3].split()[:150])
    parent = artifact(tmp_path / "pii", a=table([f"{text} Longer."], "unknown"), b=table([text], "known"))
    dedup.run(dataclasses.replace(RECIPE, ranks=(("known", 5),)), {"pii": parent}, tmp_path / "out", log)
    assert read_documents(tmp_path / "out")["id"].to_pylist() == ["known:0"]


def test_lines_with_a_notice_are_counted_once():
    texts = pa.chunked_array([["Uses cookies, uses cookies.\nText.\nSee: PRIVACY policy (1)", "none", ""]])
    assert notice_lines(texts, ("uses cookies", "privacy policy")).tolist() == [2, 0, 0]
    assert notice_lines(texts, ()).tolist() == [0, 0, 0]


def test_texts_shorter_than_a_shingle(tmp_path, log):
    greetings = ["Hello there", "hello, THERE!", "hello there friend", "", " ", "there hello"]
    texts = [*greetings, "one two three four", "one two three five"]
    out = tmp_path / "out"
    dedup.run(RECIPE, {"pii": artifact(tmp_path / "pii", one=table(texts, "a"))}, out, log)
    gone = {row["id"]: row["detail"] for row in read_documents(out, "dropped").to_pylist()}
    assert gone == {"a:0": "a:1", "a:3": "a:4"}


def test_far_ends_of_a_chain_both_stay():
    """A like B, B like C, A unlike C: B goes, no text is lost."""
    ring = [np.arange(start, start + 100, dtype=np.uint64) for start in (0, 8, 16)]
    assert minhash.jaccard(ring[0], ring[1]) > 0.8 > minhash.jaccard(ring[0], ring[2])
    same = pytest.approx(92 / 108)
    assert keep_from([0, 1, 2], ring.__getitem__, 0.8) == ({1: (0, same)}, 2)
    assert keep_from([1, 0, 2], ring.__getitem__, 0.8) == ({0: (1, same), 2: (1, same)}, 2)


def near_copies(count: int) -> list[str]:
    return [" ".join(manual()[3].split()[:200]) + f" number {number}" for number in range(count)]


def template(count: int) -> list[str]:
    """Pages that share 300 words and have 100 words of their own: a Jaccard similarity of about 0.6."""
    shared = " ".join(f"shared{number}" for number in range(300))
    return [f"{shared} {' '.join(f'own{page}x{number}' for number in range(100))}" for page in range(count)]


@pytest.mark.parametrize("texts", [near_copies, template])
def test_many_alike_documents_cost_no_square_of_comparisons(texts, tmp_path, log):
    """Near-copies are compared with the first of them. Pages of a template are candidates, but share no rare shingle."""
    figures = {}
    for count in (150, 300):
        parent = artifact(tmp_path / f"pii{count}", one=table(texts(count), "a"))
        figures[count] = dedup.run(RECIPE, {"pii": parent}, tmp_path / f"out{count}", log)
    assert figures[300]["documents_out"] == (1 if texts is near_copies else 300)
    assert figures[300]["pairs_compared"] <= 2.2 * figures[150]["pairs_compared"]
    assert figures[300]["pairs_compared"] <= (RECIPE.bands + 1) * 300


def test_a_new_snapshot_is_compared_with_the_earlier_ones(tmp_path, log):
    old, new = manual()[:12], [manual()[2] + " one more line", manual()[20], manual()[5]]
    first = artifact(tmp_path / "first", one=table(old, "old"))
    second = artifact(tmp_path / "second", one=table(new, "new"))
    out = tmp_path / "out"
    figures = dedup.run(RECIPE, {"pii": second, "earlier/2024-01": first}, out, log)
    assert read_documents(out)["id"].to_pylist() == ["new:1"]
    gone = {row["id"]: (row["reason"], row["detail"]) for row in read_documents(out, "dropped").to_pylist()}
    assert gone == {"new:0": ("near_duplicate", "old:2"), "new:2": ("exact_duplicate", "old:5")}
    assert figures["documents_in"] == 3 and figures["documents_out"] == 1


def test_stage_continues_to_the_same_bytes_and_keeps_shards(near, tmp_path, log):
    parent = artifact(tmp_path / "pii", one=table(near[:60], "a"), two=table(near[60:120], "b"), three=table([], "c"))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    figures = dedup.run(RECIPE, {"pii": parent}, whole, log)
    # As if killed after one shard.
    sign_shard(RECIPE, "signatures-pii", parent / "documents" / "two.parquet", cut)
    assert dedup.run(RECIPE, {"pii": parent}, cut, log) == figures
    assert contents(cut) == contents(whole)
    assert [path.name for path in sorted((whole / "documents").iterdir())] == [
        "one.parquet",
        "three.parquet",
        "two.parquet",
    ]
    clusters = pq.read_table(whole / "clusters.parquet").to_pylist()
    assert {row["id"] for row in clusters if not row["kept"]} <= set(read_documents(whole, "dropped")["id"].to_pylist())


def test_no_shards_and_the_stated_curve(tmp_path, log):
    figures = dedup.run(RECIPE, {"pii": artifact(tmp_path / "pii")}, tmp_path / "out", log)
    assert figures["documents_in"] == 0
    assert figures["found_at"] == {"0.5": 0.0533, "0.6": 0.2111, "0.7": 0.5645, "0.8": 0.9235, "0.9": 0.9996}
    assert minhash.candidate_probability(1.0, 14, 8) == 1
