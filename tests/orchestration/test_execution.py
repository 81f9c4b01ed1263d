"""One artifact: identity, reuse, kill and continue, sealing, gates that stop children."""

import multiprocessing
import os

import pytest

from orchestration import execution, records
from orchestration.launchers import materialize
from orchestration.stage import SCALE, Stage
from orchestration.store import artifact, work
from tests.orchestration.toy import ToyRecipe


def toy(key: str, steps: int = 3, seed: int = 1, **inputs: Stage) -> Stage:
    return Stage(
        key,
        "tests.orchestration.toy",
        "toys",
        SCALE,
        lambda s: ToyRecipe(steps, seed),
        "-",
        "a toy",
        tuple(inputs.items()),
    )


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIA_STORE", str(tmp_path / "store"))


def test_an_artifact_is_made_once_and_then_reused(log):
    stage = toy("first")
    record, reused = materialize(stage, "tiny", log)
    assert not reused and record["metrics"]["made_now"] == 3
    assert set(record["manifest"]) == {"0.txt", "1.txt", "2.txt"}, "scratch is never published"
    again, reused = materialize(stage, "tiny", log)
    assert reused and again == record


def test_recipe_parent_and_seed_change_the_fingerprint_but_runtime_does_not(log, monkeypatch):
    parent = toy("parent")
    materialize(parent, "tiny", log)
    child = execution.plan(toy("child", parent=parent), "tiny").fingerprint
    assert child == execution.plan(toy("child", parent=parent), "tiny").fingerprint
    assert child != execution.plan(toy("child", steps=4, parent=parent), "tiny").fingerprint
    assert child != execution.plan(toy("child", seed=2, parent=parent), "tiny").fingerprint
    monkeypatch.setenv("CRIA_LAUNCHER", "subprocess")
    assert child == execution.plan(toy("child", parent=parent), "tiny").fingerprint
    materialize(toy("parent", seed=5), "tiny", log)
    assert child != execution.plan(toy("child", parent=toy("parent", seed=5)), "tiny").fingerprint


def test_a_changed_file_is_noticed_and_the_artifact_made_again(log):
    stage = toy("first")
    record, _ = materialize(stage, "tiny", log)
    (artifact("first", "tiny") / "1.txt").write_text("spoiled")
    again, reused = materialize(stage, "tiny", log)
    assert not reused and again["content"] == record["content"]


def _die(stage_key: str, store: str) -> None:
    os.environ.update(CRIA_STORE=store, TOY_DIES_AT="2")
    from tests.conftest import MemoryLog

    materialize(toy(stage_key), "tiny", MemoryLog())


def test_killed_in_the_middle_it_continues_and_ends_with_the_same_content(log, tmp_path):
    whole, _ = materialize(toy("whole"), "tiny", log)
    process = multiprocessing.get_context("spawn").Process(target=_die, args=("killed", os.environ["CRIA_STORE"]))
    process.start()
    process.join()
    assert process.exitcode == 9 and not artifact("killed", "tiny").exists()
    record, reused = materialize(toy("killed"), "tiny", log)
    assert not reused and record["metrics"]["made_now"] == 1
    assert record["content"] == whole["content"]
    assert "continues where it was stopped" in log.lines


def test_unfinished_work_for_another_recipe_is_not_mixed_in(log, tmp_path):
    stale = work("first", "tiny", "0" * 64)
    stale.mkdir(parents=True)
    (stale / "0.txt").write_text("of another recipe")
    record, _ = materialize(toy("first"), "tiny", log)
    assert record["metrics"]["made_now"] == 3 and not stale.exists()


def test_a_missing_parent_is_named(log):
    with pytest.raises(execution.StageError, match="needs parent for tiny: materialize it first"):
        materialize(toy("child", parent=toy("parent")), "tiny", log)


def test_a_failed_gate_stops_the_child_even_in_a_later_run(log):
    parent = toy("parent")
    record, _ = materialize(parent, "tiny", log)
    said = {"passed": False, "why": "3 files", "figures": {}, "content": record["content"]}
    execution.write_gate("parent", "tiny", "even", said)
    with pytest.raises(execution.StageError, match="gate even of parent failed"):
        materialize(toy("child", parent=parent), "tiny", log)
    materialize(toy("parent", steps=4), "tiny", log)  # another content: the old verdict no longer holds
    materialize(toy("child", parent=toy("parent", steps=4)), "tiny", log)


def test_the_record_tells_all_that_lineage_promises(log):
    record, _ = materialize(toy("first"), "tiny", log)
    assert records.read(artifact("first", "tiny")) == record
    for name in ("asset", "partition", "recipe", "seed", "fingerprint", "content", "code", "parents", "git", "libraries",
                 "host", "command", "seconds", "energy", "metrics", "manifest"):  # fmt: skip
        assert name in record
    assert record["seed"] == 1 and record["energy"]["kg_co2e"] >= 0


def test_energy_is_the_papers_table_2(monkeypatch):
    monkeypatch.setenv("CRIA_WATTS", "400")
    assert records.energy(184_320 * 3600.0)["kg_co2e"] / 1000 == pytest.approx(31.22, rel=1e-3)
