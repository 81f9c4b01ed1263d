"""The notice says what a run makes as long as the run is alive, however it ends."""

import subprocess
import sys

from data_cleaning.run_notice import announced, announcing
from tests.conftest import ROOT

RUN = """
import pathlib, sys, time
from data_cleaning.run_notice import announcing
with announcing(pathlib.Path(sys.argv[1])) as say:
    say("sft_model (3 of 9)")
    print("said", flush=True)
    time.sleep(600)
"""


def test_no_run_no_notice(tmp_path):
    assert announced(tmp_path) is None


def test_the_last_text_is_read_until_the_run_ends(tmp_path):
    with announcing(tmp_path) as say:
        say("a long first text")
        say("short")
        assert announced(tmp_path) == "short"
    assert announced(tmp_path) is None


def test_two_runs_at_once_end_with_the_last_one(tmp_path):
    with announcing(tmp_path):
        with announcing(tmp_path) as say:
            say("inner")
        assert announced(tmp_path) == "inner"
    assert announced(tmp_path) is None


def test_a_killed_run_leaves_no_notice(tmp_path):
    with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        assert announced(tmp_path) == "sft_model (3 of 9)"
        process.kill()
    assert announced(tmp_path) is None
