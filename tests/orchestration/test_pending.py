"""A run begins what has to be made, judged or shown, and what comes after; what is shown already is not stored again."""

import dagster as dg
import pytest

from assets import STAGES
from orchestration.pending import pending
from orchestration.stage import Gate
from orchestration.store import artifact
from tests.orchestration.test_factory import materialized, run
from tests.orchestration.toy import toy


def graph(**recipe):
    """Two toys after one, a gate on the first of them."""
    parent = toy("parent", steps=4, **recipe)
    left, right = toy("left", parent=parent), toy("right", parent=parent)
    gate = Gate("even", parent, "tests.orchestration.toy:even", "an even number of files")
    return [parent, left, right, toy("both", left=left, right=right)], [gate]


def left_to_do(stages, gates, instance):
    return [stage.key for stage in pending(stages, "tiny", gates, instance)]


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_everything_is_begun_once_and_then_nothing(instance):
    stages, gates = graph()
    assert left_to_do(stages, gates, instance) == ["parent", "left", "right", "both"]
    assert run(stages, gates, instance=instance).success
    assert left_to_do(stages, gates, instance) == []


def test_what_comes_after_a_changed_stage_is_begun_too(instance):
    stages, gates = graph()
    assert run(stages, gates, instance=instance).success
    (artifact("left", "tiny") / "1.txt").write_text("spoiled")
    assert left_to_do(stages, gates, instance) == ["left", "both"]
    assert left_to_do(*graph(seed=2), instance) == ["parent", "left", "right", "both"]


def test_what_no_gate_has_judged_is_begun(instance):
    stages, gates = graph()
    assert run(stages, instance=instance).success
    assert left_to_do(stages, gates, instance) == ["parent", "left", "right", "both"]
    assert run(stages, gates, instance=instance).success
    assert left_to_do(stages, gates, instance) == []


def test_the_stages_of_the_graph_are_listed_parents_first():
    place = {key: number for number, key in enumerate(STAGES)}
    assert all(place[parent.key] < place[key] for key, stage in STAGES.items() for _, parent in stage.inputs)


def test_what_the_ui_does_not_show_is_begun_and_reused(instance):
    stages, gates = graph()
    assert run(stages, gates, instance=instance).success
    with dg.DagsterInstance.ephemeral() as another:  # its history was deleted, the store was not
        assert left_to_do(stages, gates, another) == ["parent", "left", "right", "both"]
        shown = materialized(run(stages, gates, instance=another))["both"].materialization.metadata
        assert shown["reused"].value is True and "recipe" in shown and "parents" in shown


def test_what_the_event_log_holds_is_not_stored_again(instance, tmp_path):
    stages, gates = graph()
    first = materialized(run(stages, gates, instance=instance))["parent"]
    again = materialized(run(stages, gates, instance=instance))["parent"]
    told = again.materialization.metadata
    assert set(told) - {"dagster/code_version"} == {"reused", "content", "fingerprint", "folder", "record"}
    assert told["reused"].value is True and told["content"] == first.materialization.metadata["content"]
    assert again.materialization.tags["dagster/data_version"] == told["content"].text
    assert told["record"].path == str(artifact("parent", "tiny") / "RECORD.json")
