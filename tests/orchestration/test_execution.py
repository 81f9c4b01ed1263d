"""One artifact: identity, reuse, kill and continue, sealing, gates that stop children."""

import multiprocessing
import os

import pytest
import torch

from orchestration import execution, records, source_code
from orchestration.launchers import materialize
from orchestration.store import artifact, store, work
from release import lineage
from tests.orchestration.toy import toy


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


def test_the_time_of_a_killed_attempt_is_counted(log):
    process = multiprocessing.get_context("spawn").Process(target=_die, args=("killed", os.environ["CRIA_STORE"]))
    process.start()
    process.join()
    newest = execution.plan(toy("killed"), "tiny").work / "1.txt"
    worked_until = newest.stat().st_mtime + 100
    os.utime(newest, (worked_until, worked_until))
    record, _ = materialize(toy("killed"), "tiny", log)
    assert record["seconds"] > 99 and record["energy"]["kwh"] == pytest.approx(records.energy(100.0)["kwh"], rel=0.1)


def test_unfinished_work_for_another_recipe_is_not_mixed_in(log, tmp_path):
    stale = work("first", "tiny", "0" * 64)
    stale.mkdir(parents=True)
    (stale / "0.txt").write_text("of another recipe")
    record, _ = materialize(toy("first"), "tiny", log)
    assert record["metrics"]["made_now"] == 3 and not stale.exists()


def test_work_for_another_recipe_is_kept_until_its_successor_is_published_and_continued_if_that_never_was(log):
    def crashes(planned, out, log):
        execution.run_inline(planned, out, log)
        (out / "2.txt").unlink()
        raise ValueError("a defect")

    def attempt(**recipe):
        planned = execution.plan(toy("first", **recipe), "tiny")
        with pytest.raises(ValueError, match="a defect"):
            execution.build(planned, log, crashes)
        return planned.work

    before = attempt(seed=1)
    after = attempt(seed=2)
    (line,) = (line for line in log.lines if "set aside" in line)
    assert f"{before} (what differs: recipe)" in line
    assert (before / "1.txt").is_file() and (after / "1.txt").is_file()
    record, _ = materialize(toy("first", seed=1), "tiny", log)
    assert record["metrics"]["made_now"] == 1 and "continues where it was stopped" in log.lines
    assert not before.exists() and not after.exists()


def other_bytes(stage, log, monkeypatch):
    """Damages an artifact and makes it again on another device: the same fingerprint, other bytes."""
    before = records.read(artifact(stage.key, "tiny"))
    (artifact(stage.key, "tiny") / "1.txt").write_text("spoiled")
    with monkeypatch.context() as there:
        there.setenv("TOY_DEVICE", "another")
        record, _ = materialize(stage, "tiny", log)
    assert record["fingerprint"] == before["fingerprint"] and record["content"] != before["content"]
    return record


def test_a_parent_with_other_bytes_makes_its_children_anew_and_they_can_be_released(log, monkeypatch):
    parent = toy("parent")
    child = toy("child", parent=parent)
    materialize(parent, "tiny", log)
    before, _ = materialize(child, "tiny", log)
    changed = other_bytes(parent, log, monkeypatch)
    after, reused = materialize(child, "tiny", log)
    assert not reused and after["fingerprint"] != before["fingerprint"]
    assert after["parents"]["parent"]["content"] == changed["content"]
    assert not lineage.walk([lineage.read(artifact("child", "tiny"))], lineage.store_lookup(store())).replaced


def test_work_begun_from_a_parents_other_bytes_is_not_continued(log, monkeypatch):
    parent = toy("parent")
    child = toy("child", parent=parent)
    materialize(parent, "tiny", log)
    begun = execution.plan(child, "tiny").work
    begun.mkdir(parents=True)
    (begun / "0.txt").write_text("from the first bytes")
    other_bytes(parent, log, monkeypatch)
    record, _ = materialize(child, "tiny", log)
    assert record["metrics"]["made_now"] == 3 and not begun.exists()


def test_a_parent_replaced_meanwhile_is_noticed_before_the_child_is_sealed(log, monkeypatch):
    parent = toy("parent")
    materialize(parent, "tiny", log)
    planned = execution.plan(toy("child", parent=parent), "tiny")

    def replaces_the_parent(planned, out, log):
        other_bytes(parent, log, monkeypatch)
        return execution.run_inline(planned, out, log)

    with pytest.raises(execution.StageError, match="its parent parent was replaced meanwhile. Materialize child again"):
        execution.build(planned, log, replaces_the_parent)
    assert not artifact("child", "tiny").exists()


def test_source_edited_during_a_run_is_not_sealed_under_the_old_hash(log, monkeypatch, tmp_path):
    """A stage is imported when it begins: what was hashed at the start is not what ran."""
    module = tmp_path / "edited_stage.py"
    source = "def run(config, inputs, out, log):\n    (out / 'made').write_text('{}')\n    return {{}}\n"
    module.write_text(source.format("old"))
    monkeypatch.setattr(source_code, "CHECKOUT", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    stage = toy("first", module="edited_stage")
    planned = execution.plan(stage, "tiny")
    module.write_text(source.format("new"))
    with pytest.raises(execution.StageError, match="first: its source was edited after this run began"):
        execution.build(planned, log, execution.run_inline)
    module.write_text("# a comment is no edit\n" + source.format("old"))

    def edits_its_source(planned, out, log):
        metrics = execution.run_inline(planned, out, log)
        module.write_text(source.format("new"))
        return metrics

    with pytest.raises(execution.StageError, match="first: its source was edited after this run began"):
        execution.build(planned, log, edits_its_source)
    assert not artifact("first", "tiny").exists()
    module.write_text(source.format("old"))
    record, reused = materialize(stage, "tiny", log)
    assert not reused and (artifact("first", "tiny") / "made").read_text() == "old"


def test_a_missing_parent_is_named(log):
    with pytest.raises(execution.StageError, match="needs parent for tiny: materialize it first"):
        materialize(toy("child", parent=toy("parent")), "tiny", log)


def test_a_child_made_alone_does_not_name_a_parent_whose_files_have_changed(log):
    parent = toy("parent")
    materialize(parent, "tiny", log)
    (artifact("parent", "tiny") / "1.txt").write_text("spoiled")
    with pytest.raises(execution.StageError, match=r"1.txt has changed .*Materialize parent for tiny again"):
        materialize(toy("child", parent=parent), "tiny", log)
    assert not artifact("child", "tiny").exists()
    materialize(parent, "tiny", log)
    materialize(toy("child", parent=parent), "tiny", log)


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


def test_every_gpu_counts_and_none_is_counted_on_a_cpu(monkeypatch):
    monkeypatch.delenv("CRIA_WATTS", raising=False)
    assert records.energy(3600.0, gpus=8)["kwh"] == pytest.approx(3.2)
    monkeypatch.setenv("WORLD_SIZE", "4")  # as torchrun sets it
    assert records.gpu_count() == (4 if torch.cuda.is_available() else 0)
