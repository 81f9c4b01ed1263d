"""What is published may be read by every user, whatever the umask of the process that made it."""

import os
import stat
import tempfile

import pytest

from orchestration import execution
from orchestration.launchers import materialize
from orchestration.store import artifact, store
from tests.orchestration.toy import toy


@pytest.fixture
def private():
    before = os.umask(0o077)
    yield
    os.umask(before)


def modes(folder):
    """Of a folder and all that is in it: (of folders, of files)."""
    paths = [folder, *folder.rglob("*")]
    return [{stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir() is kind} for kind in (True, False)]


def test_an_artifact_made_under_a_private_umask_is_readable(private, log):
    stage = toy("rlhf_v1/policy")

    def launch(planned, out, log):
        metrics = execution.run_inline(planned, out, log)
        (out / "plots").mkdir()
        with tempfile.NamedTemporaryFile(dir=out, delete=False) as file:  # 0600 by itself
            os.replace(file.name, out / "plots" / "loss.png")
        (out / "0.txt").chmod(0o700)
        return metrics

    execution.build(execution.plan(stage, "tiny"), log, launch)
    folder = artifact("rlhf_v1/policy", "tiny")
    assert modes(folder) == [{0o755}, {0o644}]
    assert {stat.S_IMODE(parent.stat().st_mode) for parent in (folder.parent, store() / "tiny")} == {0o755}
    assert materialize(stage, "tiny", log)[1], "and is what the record says"
    assert modes(folder) == [{0o755}, {0o644}], "also what is remembered of its verification"
