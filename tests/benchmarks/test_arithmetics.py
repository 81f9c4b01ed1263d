"""The table of gates' margins (benchmarks/arithmetics.py)."""

import subprocess
import sys

from benchmarks import arithmetics
from data_cleaning.files import write_json
from tests.conftest import ROOT


def verdict(passed: bool, **figures) -> dict:
    return {"passed": passed, "figures": figures}


def test_margins_of_finished_stores(tmp_path):
    for name, margin in (("one", 0.25), ("two", -0.5)):
        (tmp_path / name / "tiny").mkdir(parents=True)
        gates = {"answers_better_than_base": verdict(margin > 0, margin=margin)}
        write_json(tmp_path / name / "tiny" / "sft_model.gates.json", gates)
    write_json(tmp_path / "one" / "tiny" / "bundle.gates.json", {"loads_as_released": verdict(True)})
    command = [sys.executable, "-m", "benchmarks.arithmetics", "--margins", tmp_path / "one", tmp_path / "two"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[2:] == [
        "| sft_model: answers_better_than_base | +0.250 | **-0.500** |",
        "| bundle: loads_as_released | passed |  |",
    ]


def test_no_verdicts_no_table():
    assert arithmetics.margins({"store": {}}) == ""
