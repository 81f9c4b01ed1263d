"""The command that promotes, and the sensor that does so after a run in the UI."""

import dagster as dg
import pytest

from data_cleaning.files import write_json
from orchestration import alerts, automation, promote
from orchestration.definitions import defs
from orchestration.store import artifact
from release import promotion
from tests.release.test_promotion import measured, scored


def finished(content: str, **shares) -> None:
    """A bundle and its evaluation in the store, as far as promotion reads them."""
    for key in ("bundle", "scored_answers", "bits_per_byte", "fitted_judge"):
        folder = artifact(key, "tiny")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "RECORD.json", {"content": content if key == "bundle" else key, "fingerprint": content})
    (artifact("bundle", "tiny") / "config.json").write_text("{}")
    scored(artifact("scored_answers", "tiny") / promotion.SCORED, **shares)
    measured(artifact("bits_per_byte", "tiny") / promotion.DOCUMENTS)


def command(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["promote", *words])
    return promote.main()


def test_the_commands_say_what_they_did(monkeypatch, capsys):
    assert command(monkeypatch, "tiny") == 0 and "no bundle yet" in capsys.readouterr().out
    assert command(monkeypatch, "tiny", "--rollback") == 1 and "no earlier release" in capsys.readouterr().err
    finished("a" * 64)
    assert command(monkeypatch, "tiny") == 0 and "is current: the first release" in capsys.readouterr().out
    first = promotion.current(promote.releases("tiny"))
    finished("b" * 64, seed=1, unsafe=0.9)
    assert command(monkeypatch, "tiny") == 0
    told = capsys.readouterr().out
    candidate = promotion.names(promote.releases("tiny"))[-1]
    assert "stays a candidate" in told and f"make promote SCALE=tiny RELEASE={candidate}" in told
    assert command(monkeypatch, "tiny", candidate) == 0 and promotion.current(promote.releases("tiny")) == candidate
    assert command(monkeypatch, "tiny", "--rollback") == 0 and promotion.current(promote.releases("tiny")) == first
    assert command(monkeypatch, "tiny", "2001-01-01") == 1 and "no release '2001-01-01'" in capsys.readouterr().err
    assert command(monkeypatch, "none") == 2


@pytest.mark.parametrize(("job", "told"), [("model", "is current"), ("corpus", "no model run")])
def test_the_sensor_judges_what_a_model_run_made(job, told, monkeypatch):
    finished("a" * 64)
    sent = []
    monkeypatch.setenv(alerts.VARIABLE, "cat")
    monkeypatch.setattr(alerts, "send", sent.append)
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {automation.PARTITION_TAG: "tiny"}
        run = instance.create_run_for_job(defs.resolve_job_def(job), status=dg.DagsterRunStatus.SUCCESS, tags=tags)
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job)
        context = dg.build_run_status_sensor_context("promotion", event, instance, run)
        assert told in automation.promotion(context).skip_message and not sent
        if job == "model":
            finished("b" * 64, seed=1, unsafe=0.9)
            assert "candidate" in automation.promotion(context).skip_message
            assert len(sent) == 1 and "violations" in sent[0]
