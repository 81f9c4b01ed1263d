"""An artifact is made again when its bytes may change, and only then: how many stages run after an edit."""

import dataclasses
import shutil

import pytest

from assets import STAGES
from data_cleaning.recipes import ExtractRecipe, SourcesRecipe
from orchestration import identity, source_code
from orchestration.launchers import materialize
from orchestration.stage import SCALE, SNAPSHOT, Stage, settings, snapshots
from orchestration.store import artifact
from release.lineage import read, sources, store_lookup, walk
from tests.conftest import ROOT, MemoryLog
from tests.data_cleaning.raw import source
from tests.orchestration.toy import toy

EXTRACT = ExtractRecipe(max_document_bytes=1000, max_archive_bytes=10_000, max_archive_members=100, shard_documents=10)


def fetching(*listed) -> Stage:
    recipe = SourcesRecipe(listed)
    return Stage("sources", "data_cleaning.sources.fetch", "toys", SCALE, lambda s: recipe, "-", "fetches")


def graph(*listed) -> list[Stage]:
    """Fetching and reading as they are, and a toy that is made from what was read."""
    first = fetching(*listed)
    module, inputs = "data_cleaning.reading.extract", (("sources", first),)
    documents = Stage("documents", module, "toys", SCALE, lambda s: EXTRACT, "-", "reads", inputs)
    return [first, documents, toy("child", documents=documents)]


def ran(stages: list[Stage]) -> list[str]:
    """The stages that were made, and not reused."""
    return [stage.key for stage in stages if not materialize(stage, "tiny", MemoryLog())[1]]


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes.txt").write_text("A llama carries wool.")
    return source("notes", str(tmp_path / "notes.txt"), sha256="", license="MIT lisense")


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Edits the code as it is hashed. What runs is the code as it is, so that every artifact comes out with the same bytes."""
    for package in ("data_cleaning", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / "checkout" / package, ignore=ignored)
    monkeypatch.setattr(source_code, "CHECKOUT", tmp_path / "checkout")
    source_code.definitions.cache_clear()

    def change(file: str, old: str, new: str) -> None:
        path = tmp_path / "checkout" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        source_code.definitions.cache_clear()

    yield change
    source_code.definitions.cache_clear()


def test_stages_that_run_after_an_edit(notes, edit):
    stages = graph(notes)
    assert ran(stages) == ["sources", "documents", "child"]
    edit("data_cleaning/reading/readers.py", '"""Reads the file as one document."""', '"""A file is one document."""')
    assert ran(stages) == []
    edit("data_cleaning/reading/readers.py", '(".txt", ".text")', '(".txt", ".text", ".log")')
    assert ran(stages) == ["documents"], "it comes out with the same bytes: what was made from it stays"
    assert ran(graph(dataclasses.replace(notes, license="MIT licence"))) == []


def test_a_parent_with_the_same_bytes_is_told_from_one_with_others(log):
    def parent(seed, steps=3):
        return toy("parent", steps, seed)

    child = toy("child", parent=parent(1))
    assert ran([parent(1), child]) == ["parent", "child"]
    before = read(artifact("child", "tiny")).record
    edited = dataclasses.replace(parent(1), module="tests.orchestration.toy_alias")
    assert ran([edited, toy("child", parent=edited)]) == ["parent"]
    assert read(artifact("parent", "tiny")).record["fingerprint"] != before["parents"]["parent"]["fingerprint"]
    chain = walk([read(artifact("child", "tiny"))], store_lookup(artifact("child", "tiny").parents[1]))
    assert not chain.replaced and len(chain.artifacts) == 2
    assert ran([parent(2), toy("child", parent=parent(2))]) == ["parent", "child"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://host.org/a/notes.txt?signature=1&expires=2", "https://host.org/a/notes.txt?signature=3&expires=4"),
        ("https://me:secret@host.org/notes.txt", "https://mirror.org/pub/notes.txt"),
        ("https://host.org/a.zip?s=1#in/notes.txt", "https://host.org/a.zip?s=2#in/notes.txt"),
        ("s3://old/notes.txt", "s3://new/data/notes.txt"),
        ("pip://notes==1.0/data/notes.txt", "pip://notes==1.0.post1/data/notes.txt"),
        ("hf://datasets/org/name@main/notes.txt", "hf://datasets/org/renamed@main/notes.txt"),
    ],
)
def test_an_address_whose_content_is_pinned_may_change(before, after):
    one, other = (SourcesRecipe((source("notes", uri, sha256="1" * 64),)) for uri in (before, after))
    assert identity.bearing(one) == identity.bearing(other)


@pytest.mark.parametrize(
    ("uri", "fields"),
    [
        ("https://host.org/notes.md", {}),  # by its suffix another reader reads it
        ("https://host.org/notes.txt#other", {}),
        ("https://host.org/notes.txt", {"sha256": "2" * 64}),
        ("https://host.org/notes.txt", {"reader": "markdown"}),
        ("https://host.org/notes.txt", {"limit": 1}),
        ("https://host.org/notes.txt", {"profile": "prose"}),
        ("pip://notes==1.0/notes.txt", {}),
    ],
)
def test_what_changes_bytes_bears_identity(uri, fields):
    before = source("notes", "https://host.org/notes.txt", sha256="1" * 64)
    after = source("notes", uri, **{"sha256": "1" * 64} | fields)
    assert identity.bearing(SourcesRecipe((before,))) != identity.bearing(SourcesRecipe((after,)))


def test_a_folder_of_data_may_move(notes, tmp_path):
    assert ran(graph(notes)) == ["sources", "documents", "child"]
    (tmp_path / "moved").mkdir()
    moved = shutil.move(tmp_path / "notes.txt", tmp_path / "moved" / "notes.txt")
    assert ran(graph(dataclasses.replace(notes, uri=str(moved)))) == []


def test_nothing_that_bears_no_identity_reaches_the_files(notes, tmp_path, monkeypatch):
    """Else two stores would hold other bytes under one fingerprint."""
    (tmp_path / "mirror").mkdir()
    shutil.copy(tmp_path / "notes.txt", tmp_path / "mirror" / "notes.txt")
    other = dataclasses.replace(
        notes,
        uri=str(tmp_path / "mirror" / "notes.txt"),
        license="Apache-2.0",
        factual=True,
        opt_in=True,
        delivers="full",
    )
    found = []
    for number, listed in enumerate((notes, other)):
        monkeypatch.setenv("CRIA_STORE", str(tmp_path / f"store-{number}"))
        record, _ = materialize(fetching(listed), "tiny", MemoryLog())
        found.append((record["fingerprint"], record["content"]))
    assert found[0] == found[1]


def test_lineage_names_the_source_with_its_address_and_todays_licence(notes):
    materialize(fetching(notes), "tiny", MemoryLog())
    folder = artifact("sources", "tiny")
    (then,) = sources(walk([read(folder)], store_lookup(folder.parents[1])))
    assert (then["license"], then["uri"]) == ("MIT lisense", notes.uri)
    (now,) = sources(walk([read(folder)], store_lookup(folder.parents[1]), (("notes", notes.snapshot, "MIT"),)))
    assert now["license"] == "MIT"


# --- the real graph ---


def recipes_with(table, monkeypatch) -> dict[str, str]:
    """Stage → hash of what bears identity in its recipe, with this table of sources."""
    monkeypatch.setenv("CRIA_SOURCES", str(table))
    partitions = {SCALE: "tiny", SNAPSHOT: snapshots()[0], None: None}
    made = {key: stage.recipe(settings(stage.axis, partitions[stage.axis])) for key, stage in STAGES.items()}
    return {key: identity.of(recipe, "", {})["recipe"] for key, recipe in made.items()}


@pytest.mark.parametrize(
    ("old", "new", "stages"),
    [
        ('license = "MIT"', 'license = "MIT (as on their site)"', {"corpus_report", "bundle"}),
        ('license = "BSD-3-Clause"', 'license = "BSD-2-Clause"', {"bundle"}),
        ("limit = 400", "limit = 401", {"sources"}),
        ("factual = true", "factual = false", {"deduplicated", "mixture"}),
        ("limit = 400", 'delivers = "full"', {"sources", "mixture"}),
    ],
)
def test_an_edit_of_the_table_reaches_the_stages_it_concerns(old, new, stages, tmp_path, monkeypatch):
    text = (ROOT / "tests" / "sources.toml").read_text()
    assert old in text
    (tmp_path / "before.toml").write_text(text)
    (tmp_path / "after.toml").write_text(text.replace(old, new, 1))
    before, after = (recipes_with(tmp_path / f"{name}.toml", monkeypatch) for name in ("before", "after"))
    assert {key for key in before if before[key] != after[key]} == stages
