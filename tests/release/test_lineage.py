import json

import pytest

from release import licenses, lineage
from tests.release import toy_store


@pytest.fixture
def small(tmp_path):
    store = toy_store.ToyStore(tmp_path)
    store.sources("sources", "base", [toy_store.source("wiki", "corpus")])
    store.publish("documents", "base", {"sources": ("sources", "base")})
    store.publish("mixture", "tiny", {"corpus/base": ("documents", "base")})
    store.publish("left", "tiny", {"mixture": ("mixture", "tiny")})
    store.publish("right", "tiny", {"mixture": ("mixture", "tiny")})
    store.publish("both", "tiny", {"left": ("left", "tiny"), "right": ("right", "tiny")})
    return store


def walk(store, asset="both", partition="tiny"):
    return lineage.walk([lineage.read(store.folder(asset, partition))], lineage.store_lookup(store.root))


def test_parents_come_first_and_each_artifact_once(small):
    names = [artifact.name for artifact in walk(small).artifacts]
    assert names == ["base/sources", "base/documents", "tiny/mixture", "tiny/left", "tiny/right", "tiny/both"]


def test_sources_at_the_root_carry_their_hash(small):
    (source,) = lineage.sources(walk(small))
    assert (source["name"], source["artifact"]) == ("wiki", "base/sources")
    assert source["sha256"].startswith("77696b69")


def test_what_is_secret_in_an_address_is_in_no_lineage(small):
    """Neither from the recipe of a record, which holds the address that is asked for, nor from an older list of sources."""
    secret = toy_store.source("wiki", "corpus") | {"uri": "https://me:hunter2@host.org/a.txt?t=hunter2#x"}
    secret["revision"] = "https://me:hunter2@host.org/a.txt?t=hunter2"
    small.sources("sources", "base", [secret])
    path = small.folder("sources", "base") / "RECORD.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": {"sources": [secret]}}))
    chain = walk(small)
    told = json.dumps(lineage.as_json(chain, {})) + lineage.as_markdown(chain, {})
    assert "hunter2" not in told and told.count("https://host.org/a.txt#x") == 3
    assert chain.artifacts[0].record["recipe"]["sources"] == [secret]


def test_a_missing_record_names_the_file(small):
    (small.folder("documents", "base") / "RECORD.json").unlink()
    with pytest.raises(lineage.LineageError, match=r"documents/RECORD.json is missing: materialize"):
        walk(small)


def test_a_parent_made_again_with_other_content_is_named(small):
    (small.folder("documents", "base") / "new.txt").write_text("other bytes")
    small.publish("documents", "base", {"sources": ("sources", "base")})
    (sentence,) = walk(small).replaced
    assert sentence.startswith("tiny/mixture was made from base/documents (corpus/base) with content ")


def test_a_parent_made_again_with_the_same_content_is_not(small):
    small.publish("documents", "base", {"sources": ("sources", "base")})
    assert walk(small).replaced == ()


def test_the_store_is_found_from_an_artifact(small, tmp_path):
    assert lineage.store_of(lineage.read(small.folder("left", "tiny"))) == small.root
    stray = tmp_path / "elsewhere"
    stray.mkdir()
    (stray / "RECORD.json").write_text(json.dumps({"asset": "left", "partition": "tiny"}))
    with pytest.raises(lineage.LineageError, match="not the place"):
        lineage.store_of(lineage.read(stray))


def test_a_source_without_a_licence_stops_a_release():
    listed = [toy_store.source("wiki", "corpus"), toy_store.source("found", "corpus", " ")]
    with pytest.raises(licenses.UnlicensedError, match="no licence is stated for found: .*allow_unlicensed"):
        licenses.check(listed, ())
    assert licenses.check(listed, ("found",)) == ["found"]


@pytest.mark.parametrize(
    ("name", "asks"),
    [
        ("CC-BY-SA-4.0 (Wikipedia)", "attribution; share adaptations alike"),
        ("CC-BY-NC-4.0", "no commercial use"),
        ("public domain", "none"),
        ("CC-BY-SA-3.0 (fastText, Facebook AI Research)", "attribution; share adaptations alike"),
        ("MIT", "keep the notice"),
        ("GPL-2.0", "copyleft: derived works under the same terms"),
        ("", "unknown: no licence stated"),
        ("Acme terms", "see its text"),
    ],
)
def test_obligations(name, asks):
    assert licenses.obligations(name) == asks
