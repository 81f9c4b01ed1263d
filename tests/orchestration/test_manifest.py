"""Files of an artifact are compared with its manifest: unread where nothing touched them, and none is overlooked."""

import os
import shutil
import subprocess
import sys

import pytest

from orchestration import execution, manifest, records
from orchestration.launchers import materialize
from orchestration.store import artifact
from tests.conftest import ROOT
from tests.orchestration.toy import toy

opened: list[str] = []
watching = False


def _watch(event: str, arguments: tuple) -> None:
    if watching and event == "open":
        opened.append(str(arguments[0]))


sys.addaudithook(_watch)  # for good: it cannot be removed


@pytest.fixture
def reads(monkeypatch):
    """Files opened while `reads(function)` runs it."""

    def reading(function, *arguments):
        opened.clear()
        monkeypatch.setattr(sys.modules[__name__], "watching", True)
        result = function(*arguments)
        monkeypatch.setattr(sys.modules[__name__], "watching", False)
        return result, [path for path in opened if str(artifact("first", "tiny")) in path]

    return reading


@pytest.fixture
def made(log):
    """An artifact whose files were written a while ago, in the place where it is published; its record."""
    record, _ = materialize(toy("first"), "tiny", log)
    for path in artifact("first", "tiny").glob("*.txt"):
        os.utime(path, (1e9, 1e9))
    assert manifest.verify(artifact("first", "tiny"), record) is None
    return record


def test_a_large_artifact_is_reused_without_being_read(log, reads):
    stage = toy("first", steps=2, module="tests.orchestration.toy_large")
    record, _ = materialize(stage, "tiny", log)
    assert record["manifest"]["weights"]["bytes"] == 2 << 30
    (again, reused), seen = reads(materialize, stage, "tiny", log)
    assert reused and again == record
    assert {os.path.basename(path) for path in seen} == {"RECORD.json", ".verified.json"}


def test_a_file_is_read_again_only_where_its_size_or_time_changed(made, reads):
    folder = artifact("first", "tiny")
    assert reads(manifest.verify, folder, made)[1] == [str(folder / manifest.MEMORY)]
    os.utime(folder / "1.txt", (2e9, 1e9 + 1))
    told, seen = reads(manifest.verify, folder, made)
    assert told is None and [path for path in seen if path.endswith(".txt")] == [str(folder / "1.txt")]
    assert not [path for path in reads(manifest.verify, folder, made)[1] if path.endswith(".txt")], "once is enough"


def test_a_copy_is_read_once_and_then_known(made, reads, tmp_path):
    folder = artifact("first", "tiny")
    shutil.move(folder, tmp_path / "away")
    shutil.copytree(tmp_path / "away", folder, copy_function=shutil.copy)  # as cp -r: with times of its own
    for path in folder.glob("*.txt"):
        os.utime(path, (1.1e9, 1.1e9))
    assert sum(path.endswith(".txt") for path in reads(manifest.verify, folder, made)[1]) == 3
    assert sum(path.endswith(".txt") for path in reads(manifest.verify, folder, made)[1]) == 0


def test_a_file_of_the_same_size_with_other_bytes_is_noticed(made):
    path = artifact("first", "tiny") / "1.txt"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert manifest.verify(path.parent, made) == f"{path} has changed since it was recorded"
    (path.parent / "0.txt").unlink()
    assert manifest.verify(path.parent, made) == f"{path.parent / '0.txt'} is missing"


def test_a_file_rewritten_in_the_same_tick_of_the_clock_is_noticed(log):
    """The time of a file just written says nothing yet: it may be written again before the clock moves on."""
    record, _ = materialize(toy("first"), "tiny", log)
    path = artifact("first", "tiny") / "1.txt"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert manifest.verify(path.parent, record) == f"{path} has changed since it was recorded"


def test_reading_in_full_sees_what_size_and_time_hide(made):
    path = artifact("first", "tiny") / "1.txt"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert manifest.verify(path.parent, made) is None
    assert manifest.verify(path.parent, made, full=True) == f"{path} has changed since it was recorded"


def test_a_file_that_is_not_in_the_manifest_is_found_and_never_deleted(made, log):
    stray = artifact("first", "tiny") / "documents" / "more.parquet"
    stray.parent.mkdir()
    stray.write_text("a child would read it")
    assert manifest.verify(artifact("first", "tiny"), made) == f"{stray} does not belong to this artifact"
    with pytest.raises(
        execution.StageError, match="more.parquet does not belong to this artifact. Move that file elsewhere"
    ):
        materialize(toy("first"), "tiny", log)
    with pytest.raises(
        execution.StageError, match="child will not start: .*more.parquet does not belong to this artifact"
    ):
        materialize(toy("child", parent=toy("first")), "tiny", log)
    stray.unlink()
    assert materialize(toy("first"), "tiny", log) == (made, True)


def test_a_file_whose_name_is_no_utf8_can_be_recorded(log):
    """Sources hold such names, and a record names every file."""
    planned = execution.plan(toy("first"), "tiny")

    def writes(planned, out, log) -> dict:
        (out / os.fsdecode(b"caf\xe9.txt")).write_text("text")
        return {}

    record, _ = execution.build(planned, log, writes)
    assert records.read(planned.final) == record and list(record["manifest"]) == ["caf\udce9.txt"]
    assert manifest.verify(planned.final, record) is None


def test_a_store_that_cannot_be_written_to_is_verified_all_the_same(made, monkeypatch):
    folder = artifact("first", "tiny")
    (folder / manifest.MEMORY).write_text('{"1.txt": [')  # two processes at once, or half a disk
    assert manifest.verify(folder, made) is None
    os.utime(folder / "1.txt", (1.2e9, 1.2e9))
    (folder / f".{manifest.MEMORY}.part").mkdir()  # nothing can be written there
    assert manifest.verify(folder, made) is None


def verify(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "orchestration.verify", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_make_verify_reads_the_store_or_one_artifact(made, log):
    materialize(toy("second"), "tiny", log)
    assert verify().stdout == "as recorded: 2 of 2\n"
    path = artifact("second", "tiny") / "1.txt"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = verify()
    assert done.returncode == 1 and done.stdout == f"{path} has changed since it was recorded\n"
    assert verify(str(artifact("first", "tiny") / "1.txt")).stdout == "as recorded: 1 of 1\n"
    assert "is in no artifact" in verify("/tmp").stderr


def test_the_record_of_a_reused_artifact_is_never_rewritten(made):
    before = (artifact("first", "tiny") / records.RECORD).stat()
    materialize(toy("first"), "tiny", None)
    assert (artifact("first", "tiny") / records.RECORD).stat().st_mtime_ns == before.st_mtime_ns
