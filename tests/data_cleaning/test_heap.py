"""Freed memory goes back to the system even where the launcher told the C library to keep it."""

import os
import subprocess
import sys

from orchestration.launchers import ALLOCATOR

GROWN = """
from pathlib import Path
from data_cleaning import heap
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
kept = [bytearray(1_000_000) for _ in range(300)]
held = kept[::50]  # the last of them lies near the end of the heap
del kept
before = resident()
heap.trim()
print(before - resident())
"""


def test_freed_blocks_between_held_ones_are_given_back():
    done = subprocess.run(
        [sys.executable, "-c", GROWN], env={**os.environ, **ALLOCATOR}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200_000_000
