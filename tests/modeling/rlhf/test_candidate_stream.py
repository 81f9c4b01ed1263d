"""Candidates of rejection sampling in a stream: of all that are drawn, few are in memory, on any number of devices."""

import dataclasses
import json
import shutil
import tracemalloc
import weakref
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from modeling.core import dialogue_tables, resumable_generation, runtime
from modeling.rlhf import rejection_sampling, rewards
from tests.modeling.rlhf.test_rejection_sampling import RECIPE, inputs  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.trains, pytest.mark.timeout(600)]

FILES = ("candidates.parquet", "samples.parquet", "examples.md", "plots/best_of_n.png")


@pytest.fixture
def in_small_chunks(monkeypatch):
    monkeypatch.setattr(resumable_generation, "CHUNK_ANSWERS", 36)
    monkeypatch.setattr(rewards, "SCORE_CHUNK", 50)
    monkeypatch.setattr(dialogue_tables, "ROW_GROUP", 25)


def made(recipe, inputs, out: Path, log) -> dict:  # noqa: F811
    out.mkdir(parents=True, exist_ok=True)
    return rejection_sampling.run(recipe, inputs, out, log)


def test_few_candidates_are_in_memory_at_once(inputs, tmp_path, log, monkeypatch, in_small_chunks):  # noqa: F811
    alive, most = [0], [0]
    original = rejection_sampling.candidate

    class Candidate(dict):
        def __init__(self, *args) -> None:
            super().__init__(*args)
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            weakref.finalize(self, gone)

    def gone() -> None:
        alive[0] -= 1

    monkeypatch.setattr(rejection_sampling, "candidate", lambda *args: Candidate(original(*args)))
    metrics = made(RECIPE, inputs, tmp_path, log)
    shown = 2 * 2 * rejection_sampling.SHOWN  # the best and the worst, of two kinds
    assert metrics["candidates"] == 120 and most[0] <= shown + 2 * RECIPE.samples
    groups = pq.ParquetFile(tmp_path / "candidates.parquet").metadata
    assert [groups.row_group(place).num_rows for place in range(groups.num_row_groups)] == [25, 25, 25, 25, 20]


def test_ten_times_the_answers_take_no_more_memory(inputs, tmp_path, log, in_small_chunks):  # noqa: F811
    """With all answers and scores in scratch, the rest of the stage is measured: no model is loaded."""

    def peak(samples: int) -> int:
        recipe, out = dataclasses.replace(RECIPE, samples=samples), tmp_path / str(samples)
        made(recipe, inputs, out, log)
        tracemalloc.start()
        try:
            made(recipe, inputs, out, log)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(6), peak(60)
    as_rows = len(json.dumps(pq.read_table(tmp_path / "60" / "candidates.parquet").to_pylist()))
    assert many - few < as_rows / 2  # dicts of all candidates take more than their text


def test_two_devices_score_as_one(inputs, tmp_path, log, monkeypatch, in_small_chunks):  # noqa: F811
    metrics = made(RECIPE, inputs, tmp_path / "one", log)
    for name in ("answers", "safety"):  # one model of three is enough to start processes for
        shutil.copytree(tmp_path / "one" / "_scratch" / name, tmp_path / "two" / "_scratch" / name)
    monkeypatch.setattr(runtime, "gpus", lambda: ["a", "b"])
    assert made(RECIPE, inputs, tmp_path / "two", log) == metrics
    assert "3 chunks on 2 GPUs" in log.lines
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_stream_of_rows_is_the_file_of_all_rows(tmp_path, monkeypatch):
    schema = rejection_sampling.CANDIDATES
    rows = [
        {"prompt_id": f"p{number // 3}", "kind": "safety", "messages": [{"role": "user", "content": "Hi " * number}],
         "response": f"answer {number % 7}", "ended": True, "fault": "", "helpfulness": number / 7, "safety": 0.5,
         "reward": 0.5, "rank": number % 3}
        for number in range(3000)
    ]  # fmt: skip
    dialogue_tables.write_rows(rows, schema, tmp_path / "whole.parquet")
    for name, groups in (("stream", 1), ("parts", 3)):
        monkeypatch.setattr(dialogue_tables, "ROW_GROUP", -(-len(rows) // groups))
        with dialogue_tables.writing(schema, tmp_path / f"{name}.parquet") as write:
            for part in resumable_generation.in_parts(rows, 7):
                write(part)
            assert not (tmp_path / f"{name}.parquet").exists()
        assert pq.ParquetFile(tmp_path / f"{name}.parquet").metadata.num_row_groups == groups
    assert (tmp_path / "stream.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert pq.read_table(tmp_path / "parts.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))
