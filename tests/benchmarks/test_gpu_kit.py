"""The kit's bookkeeping: bounded parts, results that survive them, the table, the size limit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assets.finetuning import sft_model
from assets.pretraining import adopted_checkpoint, base_model, mixture
from assets.rlhf import ppo_policy
from benchmarks.gpu_kit import pack, rlhf, run, table, verdicts
from orchestration.stage import SCALE

PPO_INPUTS = ("policy", "helpfulness_reward_model", "safety_reward_model")  # of the first round instead of the last
ROOT = Path(__file__).resolve().parents[2]
# Tells a figure, starts a child of its own and hangs.
HANGS = """
import subprocess, sys, time
from pathlib import Path
from benchmarks.gpu_kit import table
table.append(Path(sys.argv[1]) / "results.jsonl", part="hangs", measure="speed", value=5.0, unit="tokens/s", remark="")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(Path(sys.argv[1]) / "child").write_text(str(child.pid))
print("the last words", flush=True)
time.sleep(600)
"""


def test_the_kit_carries_whatever_its_stages_read_and_do_not_make():
    made = [base_model, sft_model, *vars(rlhf.FIRST).values(), ppo_policy]
    for place, stage in enumerate(made):
        for role, parent in stage.inputs:
            known = parent in pack.CARRIED or parent in pack.SHARED or parent in made[:place]
            assert known or (stage is ppo_policy and role in PPO_INPUTS), f"{stage.key} reads {parent.key}"
    for place, stage in enumerate(pack.CARRIED):
        for _, parent in stage.inputs:
            of_scale = parent.axis == SCALE and parent is not mixture and parent is not adopted_checkpoint
            assert not of_scale or parent in pack.CARRIED[:place], f"{stage.key} reads {parent.key}"


def test_a_part_that_hangs_is_ended_with_its_children_and_the_next_runs(tmp_path):
    deadline = time.monotonic() + 100
    hanging = run.Part("hangs", 4.0, [sys.executable, "-c", HANGS, str(tmp_path)])
    failing = run.Part("fails", 60.0, [sys.executable, "-c", "raise SystemExit('no such card')"])
    working = run.Part("works", 60.0, [sys.executable, "-c", "print('fine')"])
    ends = [run.run_part(part, tmp_path, deadline) for part in (hanging, failing, working)]
    assert [end["ended"] for end in ends] == ["stopped after 4 s", "failed (1)", "finished"]
    assert ends[0]["seconds"] < 20
    assert "the last words" in ends[0]["log"] and "no such card" in ends[1]["log"]
    assert "the last words" not in ends[1]["log"]  # each part's own log
    with pytest.raises(ProcessLookupError):
        while True:  # ended, but perhaps not yet collected by init
            os.kill(int((tmp_path / "child").read_text()), 0)
            if "State:\tZ" in Path(f"/proc/{(tmp_path / 'child').read_text()}/status").read_text():
                raise ProcessLookupError
            time.sleep(0.05)
    run.write_table(tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "| hangs | speed | 5 | tokens/s |  |" in text  # told before it hung
    assert "| works | finished |" in text
    assert text.index("End of the log of hangs") < text.index("no such card")


def test_no_part_begins_after_the_deadline(tmp_path):
    end = run.run_part(run.Part("late", 60.0, ["false"]), tmp_path, time.monotonic() + 5)
    assert (end["ended"], end["seconds"]) == ("no time left", 0.0)
    assert [row["part"] for row in table.read(tmp_path / table.RESULTS)] == ["late"]


def test_the_table_says_what_was_measured():
    rows = [
        {"fact": "card", "value": "NVIDIA H100 80GB HBM3"},
        {"fact": "torch", "value": "2.11.0"},
        {"part": "speed", "measure": "a|b", "value": 412345.6, "unit": "tokens/s", "remark": "two\nlines"},
        {"part": "speed", "measure": "MFU", "value": 41.234, "unit": "%", "remark": ""},
        {"part": "speed", "measure": "micro-batch 32", "value": "out of memory", "unit": "", "remark": ""},
        {"part": "smoke", "test": "tests/gpu/a.py::one", "passed": True},
        {"part": "smoke", "test": "tests/gpu/a.py::two", "passed": False},
        {"part": "smoke", "ended": "failed (1)", "seconds": 61.2, "log": "E  assert ```1```"},
    ]
    text = table.render(rows)
    assert text.startswith("## Measured on NVIDIA H100 80GB HBM3\n\ntorch 2.11.0.\n")
    assert "| speed | a\\|b | 412,346 | tokens/s | two lines |" in text
    assert "| speed | MFU | 41.2 | % |  |" in text
    assert "| speed | micro-batch 32 | out of memory |  |  |" in text
    assert "| smoke | 1 of 2 | `tests/gpu/a.py::two` |" in text
    assert "| smoke | failed (1) | 61 |" in text
    assert text.count("```") == 2  # what a log holds does not end its block


def test_the_table_of_a_file(tmp_path):
    path = tmp_path / table.RESULTS
    table.append(path, part="p", measure="m", value=1.5, unit="s", remark="a\u2028b")
    command = [sys.executable, "-m", "benchmarks.gpu_kit", "table", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "| p | m | 1.5 | s | a b |" in done.stdout


def test_verdicts_are_written_as_they_fall(tmp_path):
    (tmp_path / "test_two.py").write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 0\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\ndef test_last():\n    import os; os._exit(9)\n"
    )
    # The suite itself may run under pytest-xdist, whose variables the inner pytest must not take for its own.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**outer, verdicts.RESULTS: str(tmp_path / "rows"), verdicts.PART: "smoke"}
    command = [sys.executable, "-m", "pytest", "-p", verdicts.__name__, "--rootdir", str(tmp_path), str(tmp_path)]
    subprocess.run([*command, "-p", "no:cacheprovider"], cwd=ROOT, env=environment, capture_output=True)
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert [(row["test"].split("::")[1], row["passed"]) for row in rows] == [("test_good", True), ("test_bad", False)]


def test_a_kit_that_is_too_large_names_its_largest_files(tmp_path):
    for name, size in (("small", 10), ("large", 3_000_000), ("medium", 1_000_000)):
        (tmp_path / name).write_bytes(bytes(size))
    files = pack.files_below(tmp_path)
    assert pack.check_size(files, 4_000_010) == 4_000_010
    with pytest.raises(ValueError, match="4.0 MB are over the limit of 4 MB.*") as refused:
        pack.check_size(files, 4_000_009)
    assert [line.split("/")[-1] for line in str(refused.value).splitlines()[1:]] == ["large", "medium", "small"]


def test_what_is_no_kit_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "clean_corpus", dict)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is not a kit"):
        pack.pack(tmp_path, 10**9, "3.12")
    assert (tmp_path / "thesis.txt").exists()


def test_a_missing_corpus_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIA_STORE", str(tmp_path))
    with pytest.raises(ValueError, match="make run SCALE=tiny once"):
        pack.clean_corpus()


@pytest.mark.parametrize("name", ["gpu_h200", "gpu_h100"])
def test_the_page_of_figures_is_what_the_results_say(name):
    rendered = table.render(table.read(ROOT / "docs" / f"{name}.jsonl"))
    assert rendered.strip() in (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
