"""Stages as real Dagster assets: metadata, data versions, reuse, failures, gates that block."""

import errno
import signal
from concurrent.futures.process import BrokenProcessPool

import dagster as dg
import pytest

from orchestration import execution, factory, gate_checks, metadata, records
from orchestration import run as whole_run
from orchestration.machine import machine
from orchestration.stage import Gate
from orchestration.store import artifact
from tests.orchestration.toy import ToyRecipe, even, toy


def definitions(stages, gates=(), only=None, check=None) -> dg.Definitions:
    """Toys and their gates, with a job `toys` of all of them, `only` one, or a check alone."""
    selection = (
        dg.AssetSelection.checks(check)
        if check
        else dg.AssetSelection.assets(only)
        if only
        else dg.AssetSelection.all()
    )
    return dg.Definitions(
        assets=[factory.build_asset(stage, gates) for stage in stages],
        asset_checks=[gate_checks.build_check(gate) for gate in gates],
        jobs=[dg.define_asset_job("toys", selection, executor_def=dg.in_process_executor)],
        resources={"machine": machine},
    )


def run(stages, gates=(), only=None, instance=None, check=None):
    """Executes the job of `definitions`."""
    return (
        definitions(stages, gates, only, check)
        .resolve_job_def("toys")
        .execute_in_process(
            tags={"dagster/partition": "tiny"},  # as the UI launches it; by `partition_key` no check alone is accepted
            instance=instance or dg.DagsterInstance.ephemeral(),
            raise_on_error=False,
        )
    )


def said(result):
    """What a person reads of the step that failed."""
    failure = next(event for event in result.all_events if event.is_step_failure)
    return failure.step_failure_data.user_failure_data.description


def materialized(result):
    return {event.asset_key.to_user_string(): event for event in result.get_asset_materialization_events()}


def test_a_materialization_shows_its_record():
    parent = toy("parent")
    result = run([parent, toy("child", parent=parent)])
    assert result.success
    event = materialized(result)["child"]
    metadata = event.materialization.metadata
    assert {"recipe", "parents", "git commit", "fingerprint", "content", "seconds", "reused", "steps"} <= set(metadata)
    assert metadata["recipe"].data == {"steps": 3, "seed": 1}
    assert "| parent | parent | tiny |" in metadata["parents"].md_str
    assert event.materialization.tags["dagster/data_version"] == metadata["content"].text


def test_the_second_run_reuses_what_is_there():
    run([toy("first")])
    again = materialized(run([toy("first")]))["first"]
    assert again.materialization.metadata["reused"].value is True


def test_a_failing_gate_stops_what_comes_after_now_and_later():
    odd = toy("parent", steps=3)
    child = toy("child", parent=odd)
    gate = Gate("even", odd, "tests.orchestration.toy:even", "an even number of files")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run([odd, child], [gate], instance=instance)
        assert not result.success
        assert set(materialized(result)) == {"parent"} and not artifact("child", "tiny").exists()
        alone = run([odd, child], [gate], only="child", instance=instance)
        assert not alone.success and not artifact("child", "tiny").exists()
    even = toy("parent", steps=4)
    passing = Gate("even", even, "tests.orchestration.toy:even", "an even number of files")
    assert run([even, toy("child", parent=even)], [passing]).success


def test_what_a_gate_refused_is_said_again_when_the_run_ends(capsys):
    odd, other = toy("parent", steps=3), toy("other")
    gate = Gate("even", odd, "tests.orchestration.toy:even", "an even number of files")
    job = definitions([odd, other], [gate]).resolve_job_def("toys")
    with dg.DagsterInstance.ephemeral() as instance:
        assert not whole_run.run_job(job, "tiny", instance)
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith("parent: gate even failed, nothing after it was made: ")


def test_a_gate_that_passed_is_not_judged_again_and_one_that_failed_is(monkeypatch):
    judged = []

    def counting(folder, inputs, recipe):
        judged.append(folder)
        return even(folder, inputs, recipe)

    monkeypatch.setattr("tests.orchestration.toy.even", counting)
    for steps, calls in ((4, 1), (3, 3)):
        parent = toy("parent", steps=steps)
        gate = Gate("even", parent, "tests.orchestration.toy:even", "an even number of files")
        for _ in range(2):
            assert run([parent], [gate]).success is (steps == 4)
        assert len(judged) == calls


def test_a_parent_that_no_gate_has_judged_is_judged_first():
    """A run killed between a parent's publication and its gate leaves one."""
    parent = toy("parent", steps=4)
    child = toy("child", parent=parent)
    gate = Gate("even", parent, "tests.orchestration.toy:even", "an even number of files")
    assert run([parent]).success
    alone = run([parent, child], [gate], only="child")
    assert "gate even has not judged parent for tiny as it is now. Materialize parent" in said(alone)
    assert not artifact("child", "tiny").exists()
    together = run([parent, child], [gate])
    assert together.success and materialized(together)["parent"].materialization.metadata["reused"].value is True
    assert run([parent, child], [gate], only="child").success
    (artifact("parent", "tiny") / "1.txt").write_text("spoiled")
    assert run([parent]).success
    assert "gate even has not judged parent" in said(run([parent, child], [gate], only="child"))


def test_a_gate_judges_again_when_a_parent_has_other_bytes(monkeypatch):
    """Even where the artifact itself came out the same: the gate compares it with its parent."""
    parent, judged = toy("parent"), []
    child = toy("child", steps=4, parent=parent)

    def counting(folder, inputs, recipe):
        judged.append((inputs["parent"] / "1.txt").read_text())
        return even(folder, inputs, recipe)

    monkeypatch.setattr("tests.orchestration.toy.even", counting)
    gate = Gate("even", child, "tests.orchestration.toy:even", "an even number of files")
    assert run([parent, child], [gate]).success
    (artifact("parent", "tiny") / "1.txt").write_text("spoiled")
    with monkeypatch.context() as there:
        there.setenv("TOY_DEVICE", "another")
        assert run([parent]).success
    assert run([parent, child], [gate]).success
    assert len(judged) == len(set(judged)) == 2


def test_a_killed_worker_is_tried_again_and_continues():
    result = run([toy("first", steps=signal.SIGKILL, module="tests.orchestration.toy_worker")])
    assert result.success and "SIGKILL ended the worker" in next(
        event.step_retry_data.error.to_string() for event in result.all_events if event.is_step_up_for_retry
    )
    assert records.read(artifact("first", "tiny"))["manifest"].keys() == {"first", "second"}


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(ConnectionResetError("by peer"), 2), (TimeoutError(), 2), (BrokenProcessPool("a shard was killed"), 2),
     (KeyError("a defect"), 1), (PermissionError("/data"), 1), (OSError(errno.ENOSPC, "full"), 1), (ValueError("bad"), 1),
     (MemoryError(), 1)],
)  # fmt: skip
def test_what_passes_by_itself_is_tried_again_and_what_a_person_must_mend_is_not(error, attempts, monkeypatch):
    begun = []

    def fails(config, inputs, out, log):
        begun.append(out)
        raise error

    monkeypatch.setattr("tests.orchestration.toy.run", fails)
    assert not run([toy("first")]).success and len(begun) == attempts


def test_a_person_reads_what_to_do_where_a_parent_is_missing():
    parent = toy("parent")
    result = run([parent, toy("child", parent=parent)], only="child")
    assert "materialize it first" in said(result)


def test_a_check_executed_alone_says_what_to_materialize_first(monkeypatch):
    parent = toy("parent")
    child = toy("child", steps=4, parent=parent)
    gate = Gate("even", child, "tests.orchestration.toy:even", "an even number of files")
    key = dg.AssetCheckKey(dg.AssetKey("child"), "even")
    assert "has nothing to judge: materialize child first" in said(run([parent, child], [gate], check=key))
    assert run([parent, child], [gate]).success
    assert run([parent, child], [gate], check=key).success
    before = execution.read_gates("child", "tiny")
    assert run([toy("parent", seed=2)]).success
    assert "other parents than those it was made from: materialize child first" in said(
        run([parent, child], [gate], check=key)
    )
    assert execution.read_gates("child", "tiny") == before, "no verdict on what was never made"


def test_markdown_is_shown_once_and_without_pictures_that_the_ui_has_not(tmp_path):
    seen = "![flow](plots/flow.png)\n\n![one](https://example.org/1.png)\ntext ![in it](plots/flow.png)\n"
    (tmp_path / "report.md").write_text("# Report\n\n" + seen)
    for name in ("README.md", "MODEL_CARD.md"):
        (tmp_path / name).write_text("# The card\n")
    record = records.build("first", None, ToyRecipe(1, 1), {}, {}, {}, tmp_path, {}, 1.0)
    shown = metadata.of(tmp_path, record, reused=False)
    assert shown["report"].md_str == "# Report\n\n\n\n![one](https://example.org/1.png)\ntext \n"
    assert shown["model_card"].md_str == "# The card\n" and "readme" not in shown
