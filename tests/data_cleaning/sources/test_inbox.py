"""Files in the inbox become one pinned snapshot once they are complete, and never twice."""

import datetime
import os
import shutil

import pytest

from data_cleaning.snapshots import newer_name, snapshot_order
from data_cleaning.sources import inbox
from data_cleaning.sources.errors import SourceError
from data_cleaning.sources.local import local_digest
from data_cleaning.sources.table import load_sources

DAY = datetime.date(2026, 12, 1)
NOW = 2_000_000_000.0


@pytest.fixture
def box(tmp_path):
    folder = tmp_path / "inbox"
    (folder / "handbook").mkdir(parents=True)
    (folder / "handbook" / "source.toml").write_text('license = "CC-BY-4.0"\nfactual = true\n')
    return folder


def drop(folder, name, text="A chapter.", age=3600.0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for each in (path, *path.parents):
        if each == folder:
            break
        os.utime(each, (NOW - age, NOW - age))
    return path


def take(box, used=()):
    return inbox.take(box, lambda: used, DAY, NOW)


def test_without_an_inbox_nothing_happens(tmp_path):
    assert take(tmp_path / "none") == (None, inbox.Found((), ()))
    assert not (tmp_path / "none").exists()


def test_what_was_dropped_becomes_a_pinned_source_of_a_new_snapshot(box):
    drop(box, "handbook/chapter-9.md")
    drop(box, "handbook/figures/one.txt", "A figure.")
    drop(box, "notes/a.txt", "A note.")
    (box / "notes" / "source.toml").write_text('license = "MIT"')
    name, found = take(box, ["base", "2026-12-01"])
    assert name == "2026-12-01.2" and len(found.delivered) == 3 and not found.waiting
    handbook, notes = load_sources(box / "inbox.toml")
    assert (handbook.name, handbook.license, handbook.snapshot, handbook.factual) == (
        "handbook",
        "CC-BY-4.0",
        name,
        True,
    )
    assert notes.name == "notes" and handbook.sha256 == local_digest(handbook)
    assert not (box / "handbook" / "chapter-9.md").exists()
    assert (box / "taken" / name / "handbook" / "figures" / "one.txt").read_text() == "A figure."
    assert take(box, ["base", "2026-12-01", name])[0] is None


def test_the_next_delivery_of_a_source_is_another_snapshot(box):
    drop(box, "handbook/a.md")
    first, _ = take(box)
    drop(box, "handbook/a.md", "A chapter, mended.")
    second, _ = take(box, [first])
    assert [(source.name, source.snapshot) for source in load_sources(box / "inbox.toml")] == [
        ("handbook", first), ("handbook", second)]  # fmt: skip
    assert (first, second) == ("2026-12-01", "2026-12-01.2")


@pytest.mark.parametrize(
    ("used", "name"),
    [(["base"], "2026-12-01"), (["2026-11"], "2026-12-01"), (["2026-12-01"], "2026-12-01.2"),
     (["2026-12-01.9", "2026-12-01"], "2026-12-01.10"), (["2027"], "2027.2"), (["2026-12-24", "base"], "2026-12-24.2")],
)  # fmt: skip
def test_a_delivery_is_newer_than_all_before_it_whatever_the_clock_says(used, name):
    assert newer_name(used, DAY) == name
    assert max([*used, name], key=snapshot_order) == name


def test_an_opt_in_source_of_another_table_stops_nothing(box, monkeypatch):
    monkeypatch.setenv("CRIA_OPT_IN", "sharegpt")
    for text, name in (("A chapter.", "2026-12-01"), ("Another.", "2026-12-01.2")):
        drop(box, "handbook/a.md", text)
        assert take(box, ["2026-12-01"] if name.endswith(".2") else [])[0] == name


def test_the_same_bytes_again_are_said_and_not_taken(box):
    drop(box, "handbook/a.md")
    first, _ = take(box)
    again = drop(box, "handbook/other-name.md")
    name, found = take(box, [first])
    assert name is None and again.exists()
    assert found.waiting == (f"handbook/other-name.md was delivered before, in snapshot {first}: delete it",)


def test_a_file_that_is_still_written_waits_unless_it_is_marked_as_done(box):
    drop(box, "handbook/slow.jsonl", age=inbox.SETTLED_S - 1)
    drop(box, "handbook/folder/part.txt", age=5)
    drop(box, "handbook/copy.txt.part")
    drop(box, "handbook/.hidden")
    (box / "handbook" / "link.txt").symlink_to("/etc/hostname")
    name, found = take(box)
    assert name is None and found.waiting == (
        "handbook/folder is still being written", "handbook/slow.jsonl is still being written")  # fmt: skip
    (box / "handbook" / "slow.jsonl.done").touch()
    name, found = take(box)
    assert [path.name for path in found.delivered] == ["slow.jsonl"] and name
    assert not (box / "handbook" / "slow.jsonl.done").exists()


@pytest.mark.parametrize(
    ("stated", "told"),
    [(None, "source.toml is missing"), ("licence = 1", "unknown field 'licence'"), ("factual = true", "state its license"),
     ('license = "MIT"\nreader = "pdf"', "no reader"), ('license = "MIT"\nuri = "x"', "filled in by the inbox"),
     ('license = "MIT"\nuse = "dialogues"', "text for the corpus"), ("license =", "source.toml")],
)  # fmt: skip
def test_a_source_that_does_not_state_what_it_must_stops_before_anything_moves(box, stated, told):
    path = drop(box, "new/a.txt")
    other = drop(box, "handbook/a.md")
    if stated is not None:
        (box / "new" / "source.toml").write_text(stated)
    with pytest.raises(SourceError, match=told) as error:
        take(box)
    assert "new/source.toml" in str(error.value) and path.exists() and other.exists()
    assert not (box / "inbox.toml").exists()


def test_a_folder_whose_name_is_no_name_of_a_source_is_said(box):
    drop(box, "My Notes/a.txt")
    (box / "My Notes" / "source.toml").write_text('license = "MIT"')
    with pytest.raises(SourceError, match="a name is a folder"):
        take(box)


def test_a_kill_between_moving_and_writing_loses_nothing(box, monkeypatch):
    drop(box, "handbook/a.md")
    drop(box, "handbook/b.md", "Another.")

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            inbox, "write_text", lambda path, text: kill() if path.name == "inbox.toml" else path.write_text(text)
        )
        with pytest.raises(KeyboardInterrupt):
            take(box)
    drop(box, "handbook/c.md", "A third.")
    name, _ = take(box)
    (source,) = load_sources(box / "inbox.toml")
    assert (source.snapshot, name) == ("2026-12-01", "2026-12-01") and source.sha256 == local_digest(source)
    assert sorted(path.name for path in (box / "taken" / name / "handbook").iterdir()) == ["a.md", "b.md", "c.md"]


def test_quotes_and_other_scripts_in_a_licence_come_through(box):
    (box / "handbook" / "source.toml").write_text('license = "“Ours” \\"é\\" 文\\n"')
    drop(box, "handbook/a.md")
    take(box)
    assert load_sources(box / "inbox.toml")[0].license == '“Ours” "é" 文\n'
    shutil.rmtree(box)
