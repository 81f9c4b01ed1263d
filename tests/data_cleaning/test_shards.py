import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from data_cleaning.shards import default_workers, map_shards
from tests.data_cleaning.raw import CHECKOUT, sources_artifact


def count_words(broken, shard, out):
    """Writes the words of a shard; notes every call in a file of its own; refuses the broken one."""
    (out / f"call-{shard.stem}-{time.monotonic_ns()}").touch()
    if shard.stem == broken:
        raise ValueError(f"{shard.stem} is broken")
    return {"documents_in": len(shard.read_text().split()), "process": os.getpid()}


def calls(out, name):
    return len(list(out.glob(f"call-{name}-*")))


@pytest.fixture
def shards(tmp_path):
    paths = [tmp_path / f"s{number}.txt" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_text("word " * number)
    (tmp_path / "out").mkdir()
    return paths


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_from_one_process_or_several(tmp_path, shards, log, workers):
    results = map_shards(functools.partial(count_words, ""), shards, tmp_path / "out", log, workers)
    assert [result["documents_in"] for result in results] == [0, 1, 2, 3, 4]
    processes = {result["process"] for result in results}
    assert (os.getpid() in processes) == (workers == 1) and len(processes) <= workers
    assert [step[:2] for step in log.steps] == [(n, 5) for n in range(1, 6)]
    assert log.steps[-1][2]["documents_per_s"] >= 0


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_failure_only_the_rest_is_done(tmp_path, shards, log, workers):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="s3 is broken"):
        map_shards(functools.partial(count_words, "s3"), shards, out, log, workers)
    assert calls(out, "s0") == calls(out, "s3") == 1
    results = map_shards(functools.partial(count_words, ""), shards, out, log, workers)
    assert [result["documents_in"] for result in results] == [0, 1, 2, 3, 4]
    assert [calls(out, f"s{n}") for n in range(4)] == [1, 1, 1, 2]
    assert any("were finished before" in line for line in log.lines)


def test_small_work_stays_in_this_process_and_large_does_not(tmp_path, shards, log, monkeypatch):
    monkeypatch.setenv("CRIA_WORKERS", "2")
    for step, sizes, here in (("small", None, True), ("large", [1 << 20] * 5, False)):
        results = map_shards(functools.partial(count_words, ""), shards, tmp_path / "out", log, step=step, sizes=sizes)
        assert (os.getpid() in {result["process"] for result in results}) == here


def test_nothing_to_do(tmp_path, log):
    assert map_shards(functools.partial(count_words, ""), [], tmp_path, log) == []


def test_two_shards_of_one_name_are_refused(tmp_path, log):
    with pytest.raises(ValueError, match="same name"):
        map_shards(functools.partial(count_words, ""), [tmp_path / "a/x.txt", tmp_path / "b/x.txt"], tmp_path, log)


def test_workers_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("CRIA_WORKERS", "3")
    assert default_workers() == 3
    monkeypatch.setenv("CRIA_WORKERS", "many")
    with pytest.raises(ValueError, match="CRIA_WORKERS is 'many'"):
        default_workers()


ENDLESS = """
import sys, time
from pathlib import Path
from data_cleaning.shards import map_shards
from tests.data_cleaning.raw import Quiet
from tests.data_cleaning.test_shards import write_without_end
if __name__ == "__main__":
    out = Path(sys.argv[1])
    map_shards(write_without_end, [out / "a", out / "b"], out, Quiet(), workers=2)
"""


def write_without_end(shard, out):
    while True:
        (out / f"{os.getpid()}.writes").touch()
        time.sleep(0.01)


def alive(process):
    try:
        return open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_workers_of_a_killed_stage_end_with_it(tmp_path):
    script, out = tmp_path / "endless.py", tmp_path / "out"
    script.write_text(ENDLESS)
    out.mkdir()
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    stage = subprocess.Popen([sys.executable, str(script), str(out)], env=environment, cwd=CHECKOUT)
    while stage.poll() is None and len(list(out.glob("*.writes"))) < 2:
        time.sleep(0.01)
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    workers = [int(path.stem) for path in out.glob("*.writes")]
    assert len(workers) == 2
    try:
        for _ in range(1000):
            if not any(alive(worker) for worker in workers):
                break
            time.sleep(0.01)
        else:
            pytest.fail("workers write on after their stage was killed")
    finally:
        for worker in filter(alive, workers):
            os.kill(worker, signal.SIGKILL)


EXTRACT = """
import sys
from pathlib import Path
from data_cleaning.reading import extract
from data_cleaning.recipes import ExtractRecipe
from tests.data_cleaning.raw import Quiet
extract.UNIT_FILES = 1
extract.run(ExtractRecipe(10**6, 10**6, 1000, 400), {"sources": Path(sys.argv[1])}, Path(sys.argv[2]), Quiet())
"""


def test_a_killed_stage_ends_with_the_same_bytes(tmp_path):
    lines = "".join(f'{{"text": "line {n} {"word " * 200}"}}\n' for n in range(1_500)).encode()
    sources = sources_artifact(tmp_path / "sources", {f"{n}.jsonl": lines for n in range(8)})
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    killed.mkdir()
    straight.mkdir()
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "CRIA_WORKERS": "1"}
    child = subprocess.Popen([sys.executable, "-c", EXTRACT, str(sources), str(killed)], env=environment, cwd=CHECKOUT)
    marks = killed / "_scratch" / "extract"
    while child.poll() is None and not (marks.exists() and len(list(marks.glob("own-*.json"))) >= 2):
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in marks.glob("own-*.json")}
    assert 2 <= len(finished) < 8, "the child was to die halfway"
    for out in (killed, straight):
        command = [sys.executable, "-c", EXTRACT, str(sources), str(out)]
        subprocess.run(command, env=environment, cwd=CHECKOUT, check=True)
    assert {name: (marks / name).stat().st_mtime_ns for name in finished} == finished, "a finished shard was made again"
    made = [
        {file.name: file.read_bytes() for file in [*(out / "documents").iterdir(), out / "quarantine.jsonl"]}
        for out in (killed, straight)
    ]
    assert made[0] == made[1] and len(made[0]) == 8 * 4 + 1
