"""`make why` names every reason to make an artifact again, and what changed without being one."""

import dataclasses
import json
import subprocess
import sys

import pytest

from orchestration import records, source_code, why
from orchestration.launchers import materialize
from orchestration.stage import Stage
from orchestration.store import artifact
from release.lineage import LineageError
from tests.conftest import ROOT
from tests.data_cleaning.raw import source
from tests.orchestration.test_identity import fetching
from tests.orchestration.toy import toy


def explained(*stages: Stage) -> list[str]:
    """The lines about the last of the stages."""
    return why.explain(artifact(stages[-1].key, "tiny"), {stage.key: stage for stage in stages}).splitlines()


@pytest.fixture
def made(log):
    parent = toy("parent")
    child = toy("child", parent=parent)
    for stage in (parent, child):
        materialize(stage, "tiny", log)
    return parent, child


def test_what_is_up_to_date_is_said_to_be(made):
    assert explained(*made) == ["tiny/child is up to date"]


def test_fields_of_the_recipe(made):
    parent, _ = made
    assert explained(parent, toy("child", steps=4, seed=2, parent=parent)) == [
        "tiny/child would be made again:",
        "  recipe.steps: 3 → 4",
        "  recipe.seed: 1 → 2",
    ]


def test_code_by_module_and_definition(made, monkeypatch):
    now = {"tests.orchestration.toy": {"run": "0" * 8, "more": "1" * 8}}
    monkeypatch.setattr(why, "definitions", lambda module: now)
    first, *lines = explained(*made)
    assert first == "tiny/child would be made again:"
    (line,) = (line for line in lines if "tests.orchestration.toy:" in line)
    assert line.startswith("  code of tests.orchestration.toy: run changed; more new; ")
    assert "ToyRecipe" in line.split("; ")[2] and line.endswith("no longer used")


def test_contents_of_parents_and_parents_that_come_first(made, log):
    other = toy("parent", seed=5)
    child = toy("child", parent=other)
    assert explained(other, child) == [
        "tiny/child is up to date",
        "Would be made again first; with other bytes than now they are a reason too:",
        "  tiny/parent",
    ]
    before = records.read(artifact("parent", "tiny"))["content"][:12]
    after = materialize(other, "tiny", log)[0]["content"][:12]
    assert explained(other, child) == [
        "tiny/child would be made again:",
        f"  parent parent (tiny/parent): content {before} → {after}",
    ]


def test_files_that_changed_are_missing_or_are_too_many(made):
    path = artifact("child", "tiny") / "1.txt"
    text = path.read_text()
    path.write_text("spoiled")
    assert explained(*made)[1] == f"  files: {path} has changed since it was recorded"
    path.unlink()
    assert explained(*made)[1] == f"  files: {path} is missing"
    path.write_text(text)
    (path.parent / "more").touch()
    assert explained(*made)[1] == f"  files: {path.parent / 'more'} does not belong to this artifact"


def test_versions_of_libraries_are_told_and_are_no_reason(made, log, monkeypatch):
    now = records.libraries()
    monkeypatch.setattr(records, "libraries", lambda: now | {"torch": "3.0", "trl": "0.1"})
    assert explained(*made) == [
        "tiny/child is up to date",
        f"Changed, and no reason to make it again (to do so all the same, remove {artifact('child', 'tiny')}):",
        f"  library torch: {now['torch']} → 3.0",
        f"  library trl: {now['trl']} → 0.1",
    ]
    assert materialize(made[-1], "tiny", log)[1], "days of training are not thrown away for it"


def test_fields_of_a_source_with_and_without_identity(tmp_path, log):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    one, two = (source(name, str(tmp_path / f"{name}.txt"), license="MIT lisense") for name in ("a", "b"))
    materialize(fetching(one, two), "tiny", log)
    moved = dataclasses.replace(one, uri="https://host.org/a.txt?signature=hunter2", license="MIT")
    lines = explained(fetching(moved, dataclasses.replace(two, limit=5), two))
    assert lines[0] == "tiny/sources would be made again:"
    assert lines[1] == "  recipe.sources[1].limit: 0 → 5" and lines[2].startswith("  recipe.sources[2]: (absent) → {")
    assert lines[4] == f"  recipe.sources[0].uri: {one.uri} → https://host.org/a.txt"
    assert lines[5] == "  recipe.sources[0].license: MIT lisense → MIT" and "hunter2" not in "".join(lines)


def test_every_library_that_a_stage_calls_is_in_the_record():
    """By the names that pip knows; what only draws or reads tables of numbers is there as well."""
    called = {"torch", "transformers", "trl", "accelerate", "tokenizers", "safetensors", "datasketch", "resiliparse",
              "fasttext-community", "numpy", "pyarrow"}  # fmt: skip
    assert called <= records.libraries().keys()


def test_the_command(made):
    """On a store of toys: the graph has no such stage, and a file outside is in no artifact."""

    def said(path):
        command = [sys.executable, "-m", "orchestration.why", str(path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr

    assert "an artifact of child, which is no stage of this graph" in said(artifact("child", "tiny") / "1.txt")
    assert "is in no artifact" in said("/tmp")


def test_a_record_of_an_earlier_version_and_a_copy_of_the_store(made, tmp_path):
    path = artifact("child", "tiny") / records.RECORD
    record = json.loads(path.read_text())
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / records.RECORD).write_text(path.read_text())
    with pytest.raises(LineageError, match="is in another store"):
        why.explain(tmp_path / "copy", {"child": made[-1]})
    path.write_text(json.dumps({name: record[name] for name in record if name != "identity"} | {"code": "0123"}))
    assert explained(*made) == ["tiny/child would be made again: an earlier version of this program made its record"]


def test_definitions_are_those_of_the_record(made):
    record = records.read(artifact("child", "tiny"))
    assert record["code"] == source_code.definitions("tests.orchestration.toy")
    assert record["identity"]["code"] == source_code.code_version("tests.orchestration.toy")
