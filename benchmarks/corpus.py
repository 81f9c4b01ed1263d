"""Documents per second and peak memory of each corpus step, and of datatrove's and text-dedup's deduplication.

    make bench-corpus                                        # the store of this checkout: docs/corpus.md
    python benchmarks/corpus.py STORE --documents 500        # another store; prints the record, writes nothing else
    python benchmarks/corpus.py STORE --datatrove A/bin/python --text-dedup B/bin/python --write

STORE holds the snapshot "base" and the benchmarks. Every step runs in a process of its own with CRIA_WORKERS workers
and gets what the step before it kept. Memory is the peak of resident memory: of the step's process, and the largest of
its workers. A and B are virtual environments: `pip install "datatrove[io,processing]" spacy pyarrow`, and
`pip install text-dedup`.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import corpus_texts, pii_accuracy  # noqa: E402
from data_cleaning.contamination import stage as contamination  # noqa: E402
from data_cleaning.dedup import stage as dedup  # noqa: E402
from data_cleaning.documents import shard_paths  # noqa: E402
from data_cleaning.files import write_json, write_text  # noqa: E402
from data_cleaning.filters import language, pii, quality  # noqa: E402
from data_cleaning.shards import default_workers  # noqa: E402
from data_cleaning.store_layout import place  # noqa: E402
from orchestration.thresholds import corpus  # noqa: E402

RECORD, PAGE = ROOT / "docs" / "corpus.json", ROOT / "docs" / "corpus.md"
SIZE = 4000  # characters of a document
POLL_S = 0.05
# Step → the role of its parent, and the folder whose documents it reads.
STEPS = {
    "language": ("documents", "documents"),
    "quality": ("language", "language"),
    "pii": ("quality", "quality"),
    "signatures": ("pii", "pii"),
    "dedup": ("pii", "pii"),
    "contamination": ("deduplicated", "dedup"),
}
OTHERS = {"datatrove": "pii", "text-dedup": "pii"}


class Quiet:
    def info(self, text: str) -> None:
        pass

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        pass


def run_step(step: str, store: Path, folder: Path) -> None:
    """Runs one step on what lies in `folder`."""
    recipe, (role, parent) = corpus(), STEPS[step]
    stages: dict[str, tuple[Callable, object]] = {
        "language": (language.run, recipe.language),
        "quality": (quality.run, recipe.quality),
        "pii": (pii.run, recipe.pii),
        "signatures": (dedup.sign, recipe.dedup),
        "dedup": (dedup.run, recipe.dedup),
        "contamination": (contamination.run, recipe.contamination),
    }
    inputs = {role: folder / parent}
    inputs |= {"sources": place(store, "sources", "base")} if step == "language" else {}
    inputs |= {"benchmarks": place(store, "benchmarks", None)} if step == "contamination" else {}
    (folder / step).mkdir(exist_ok=True)
    function, config = stages[step]
    if step == "dedup":  # signatures are measured apart
        shutil.move(folder / "signatures" / "_scratch", folder / step / "_scratch")
    function(config, inputs, folder / step, Quiet())


def command_of(step: str, store: Path, folder: Path, pythons: dict[str, str]) -> list[str]:
    """Returns the command that runs a step, or another tool, on what lies in `folder`."""
    out, parent = folder / step, folder / "pii" / "documents"
    if step == "datatrove":
        script = str(ROOT / "benchmarks" / "datatrove_dedup.py")
        return [pythons[step], script, str(parent), str(out), str(default_workers())]
    if step == "text-dedup":
        data = ["--path", "parquet", "--data_files", f"{parent}/*.parquet", "--split", "train", "--column", "text"]
        files = ["--cache_dir", str(folder / "cache"), "--output", str(out), "--num_proc", str(default_workers())]
        bands = ["--ngram", "5", "--num_perm", "112", "--b", "14", "--r", "8", "--hash_func", "xxh3"]
        return [pythons[step], "-m", "text_dedup.minhash", *data, *files, *bands]
    return [sys.executable, __file__, str(store), "--step", step, "--folder", str(folder)]


def measure(command: list[str]) -> dict[str, float]:
    """Runs a command. Returns its seconds, and the peak memory (MB) of its process and of the largest below it."""
    peaks: dict[int, int] = {}
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=tempfile.gettempdir())
        watcher = threading.Thread(target=_watch, args=(process, peaks))
        watcher.start()
        code = process.wait()
        seconds = time.monotonic() - started
        watcher.join()
        if code:
            said.seek(0)
            raise RuntimeError(
                f"{' '.join(command)} ended with {code}:\n{said.read().decode(errors='replace')[-4000:]}"
            )
    own = peaks.pop(process.pid, 0)
    return {
        "seconds": round(seconds, 2),
        "process_mb": own // 1024,
        "worker_mb": max(peaks.values(), default=0) // 1024,
    }


def _watch(process: subprocess.Popen, peaks: dict[int, int]) -> None:
    """Notes the peak memory (kB) of the process and of all below it until it ends."""
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for one in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(OSError):  # it has ended
                    status = Path(f"/proc/{one.pid}/status").read_text()  # psutil knows no peak on Linux
                    if found := re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE):
                        peaks[one.pid] = max(peaks.get(one.pid, 0), int(found[1]))
        time.sleep(POLL_S)


def measure_all(store: Path, count: int, pythons: dict[str, str], log: Callable[[str], None]) -> list[dict]:
    """Returns one row per step: documents read, seconds, memory."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name)
        size = corpus_texts.write(place(store, "documents", "base"), folder / "documents", count, SIZE)
        log(f"{count:,} documents, {size / 1e6:.0f} MB")
        for step in [*STEPS, *pythons]:
            parent = folder / (OTHERS.get(step) or STEPS[step][1])
            documents = sum(pq.read_metadata(shard).num_rows for shard in shard_paths(parent))
            found = measure(command_of(step, store, folder, pythons))
            rows.append({"made": count, "step": step, "documents": documents, **found})
            log(json.dumps(rows[-1]))
    return rows


def page(record: dict) -> str:
    """Returns docs/corpus.md."""
    from modeling.core import reporting  # here: the steps whose memory is measured do not need it

    lines = ["# Speed and memory of the corpus steps", "", "`make bench-corpus` writes this page.", ""]
    if not record["rows"]:
        return "\n".join([*lines, "Nothing is measured yet.", "", pii_accuracy.section()])
    lines += [
        f"{record['processor']}, {record['cores']} cores, {record['workers']} workers; documents of {SIZE:,} characters.",
        "`dedup` follows `signatures`; datatrove and text-dedup do both.",
        "",
    ]
    head = (
        "Documents made",
        "Step",
        "Documents read",
        "Seconds",
        "Documents/s",
        "Peak of the process, MB",
        "Of a worker, MB",
    )
    rows = (
        (f"{row['made']:,}", row["step"], f"{row['documents']:,}", f"{row['seconds']:.1f}",
         f"{row['documents'] / row['seconds']:,.0f}", f"{row['process_mb']:,}", f"{row['worker_mb'] or '-'}")
        for row in record["rows"]
    )  # fmt: skip
    return "\n".join([*lines, reporting.table(head, rows), pii_accuracy.section()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--datatrove", help="a Python that has datatrove")
    parser.add_argument("--text-dedup", help="a Python that has text-dedup")
    parser.add_argument("--write", action="store_true", help="write docs/corpus.json and docs/corpus.md")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        run_step(given.step, given.store, given.folder)
        return
    pythons = {name: path for name, path in (("datatrove", given.datatrove), ("text-dedup", given.text_dedup)) if path}
    record = {"processor": processor(), "cores": os.cpu_count(), "workers": default_workers(), "rows": []}
    for count in given.documents:
        record["rows"] += measure_all(given.store.resolve(), count, pythons, lambda text: print(text, flush=True))
    if given.write:
        write_json(RECORD, record)
        write_text(PAGE, page(record))
    print(page(record))


def processor() -> str:
    """Returns the processor's name as Linux states it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


if __name__ == "__main__":
    main()
