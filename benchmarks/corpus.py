"""Documents per core-second and peak memory of each corpus step, beside datatrove and text-dedup on the same documents.

    make bench-corpus                                        # the store of this checkout: docs/corpus.md
    python benchmarks/corpus.py STORE --documents 500        # another store; prints the record, writes nothing else
    python benchmarks/corpus.py STORE --datatrove A/bin/python --text-dedup B/bin/python --write

STORE holds the snapshot "base" and the benchmarks. Every step runs in a process of its own with CRIA_WORKERS workers
and gets what the step before it kept. Core-seconds are those of the process and all below it, so another load on the
machine matters little. Memory is the peak of resident memory: of the step's process, and the largest of its workers.
A and B are virtual environments: `pip install "datatrove[io,processing]==0.10.0" spacy pyarrow`, and
`pip install text-dedup==0.4.0`.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import corpus_texts, pii_accuracy  # noqa: E402
from benchmarks.corpus_others import OTHERS, OURS, Other, version  # noqa: E402
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
POLL_S = 0.2
# Step → the role of its parent, and the folder whose documents it reads.
STEPS = {
    "language": ("documents", "documents"),
    "quality": ("language", "language"),
    "pii": ("quality", "quality"),
    "signatures": ("pii", "pii"),
    "dedup": ("pii", "pii"),
    "contamination": ("deduplicated", "dedup"),
}


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


@dataclass
class Used:
    """What a process used until it was last looked at."""

    peak_kb: int = 0
    core_seconds: float = 0.0


def measure(command: list[str]) -> dict[str, float]:
    """Runs a command. Returns its seconds, its core-seconds, and the peak memory (MB) of it and of the largest below it."""
    used: dict[int, Used] = {}
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=tempfile.gettempdir())
        watcher = threading.Thread(target=_watch, args=(process, used))
        watcher.start()
        code = process.wait()
        seconds = time.monotonic() - started
        watcher.join()
        if code:
            said.seek(0)
            raise RuntimeError(
                f"{' '.join(command)} ended with {code}:\n{said.read().decode(errors='replace')[-4000:]}"
            )
    core_seconds = sum(one.core_seconds for one in used.values())
    own = used.pop(process.pid, Used())
    return {
        "seconds": round(seconds, 2),
        "core_seconds": round(core_seconds, 2),
        "process_mb": own.peak_kb // 1024,
        "worker_mb": max((one.peak_kb for one in used.values()), default=0) // 1024,
    }


def _watch(process: subprocess.Popen, used: dict[int, Used]) -> None:
    """Notes what the process and all below it use until it ends; pools whose workers nobody waits for are counted too."""
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for one in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(OSError, psutil.NoSuchProcess):  # it has ended
                    now = used.setdefault(one.pid, Used())
                    times = one.cpu_times()
                    now.core_seconds = max(now.core_seconds, times.user + times.system)
                    status = Path(f"/proc/{one.pid}/status").read_text()  # psutil knows no peak on Linux
                    if found := re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE):
                        now.peak_kb = max(now.peak_kb, int(found[1]))
        time.sleep(POLL_S)


def ids(folder: Path) -> set[str]:
    """Returns the ids of the documents that a step kept."""
    return {one for shard in shard_paths(folder) for one in pq.read_table(shard, columns=["id"])["id"].to_pylist()}


def measure_all(
    store: Path, count: int, others: list[tuple[Other, str]], log: Callable[[str], None]
) -> tuple[list[dict], int]:
    """Returns one row per step and per other tool (with the Python that has it), and the bytes of the documents."""
    rows: list[dict] = []

    def add(step: str, read: set[str], left: set[str], found: dict, same: set[str] | None = None) -> None:
        row = {"made": count, "step": step, "documents": len(read), "kept": len(left), **found}
        if step.endswith("dedup"):
            row["repeats"] = sum(corpus_texts.repeats(int(one.partition(":")[2])) for one in read)
        elif same is not None:  # what we keep: the share of documents with the same fate
            row["agreement"] = round(1 - len(left ^ same) / len(read), 4)
        rows.append(row)
        log(json.dumps(row))

    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name)
        size = corpus_texts.write(place(store, "documents", "base"), folder / "documents", count, SIZE)
        log(f"{count:,} documents, {size / 1e6:.0f} MB")
        for step, (_, parent) in STEPS.items():
            found = measure([sys.executable, __file__, str(store), "--step", step, "--folder", str(folder)])
            read = ids(folder / parent)
            add(step, read, read if step == "signatures" else ids(folder / step), found)
        model = language.model_path(place(store, "sources", "base")).resolve()
        for other, python in others:
            out = folder / other.name.replace(" ", "-")
            found = measure(other.command(python, folder / other.reads / "documents", out, model))
            add(other.name, ids(folder / other.reads), other.kept(python, out), found, ids(folder / other.beside))
    return rows, size


def page(record: dict) -> str:
    """Returns docs/corpus.md."""
    from modeling.core import reporting  # here: the steps whose memory is measured do not need it

    lines = ["# Speed and memory of the corpus steps", "", "`make bench-corpus` writes this page.", ""]
    if not record["rows"]:
        return "\n".join([*lines, "Nothing is measured yet.", "", pii_accuracy.section()])
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    sizes = ", ".join(f"{int(count):,} ({size / 1e6:,.0f} MB)" for count, size in record["bytes"].items())
    head = (
        *(
            "Documents made",
            "Step",
            "Read",
            "Kept",
            "Same fate",
            "Seconds",
            "Core-seconds",
            "Documents per core-second",
        ),
        *("Peak of the process, MB", "Of a worker, MB"),
    )
    rows = (
        (f"{row['made']:,}", row["step"], f"{row['documents']:,}", f"{row.get('repeats', '-')}", f"{row['kept']:,}",
         reporting.percent(row["agreement"]) if "agreement" in row else "-", f"{row['seconds']:.1f}",
         f"{row['core_seconds']:.1f}", f"{row['documents'] / row['core_seconds']:,.0f}", f"{row['process_mb']:,}",
         f"{row['worker_mb'] or '-'}")
        for row in record["rows"]
    )  # fmt: skip
    lines += [
        f"{record['processor']}, {record['cores']} cores, {record['workers']} workers. Documents of {SIZE:,} characters: "
        f"{sizes}.",
        f"Versions: {versions}.",
        "",
        reporting.table(head, rows),
        "`dedup` follows `signatures`; the other tools do both. They have the same thresholds, shingles, bands and rows.",
        "Repeats are the documents made from another one; pages of a template are none, and only we verify candidates.",
        "Same fate: the share of documents that the other tool and we both keep or both drop.",
        "",
    ]
    if compared := list(comparisons(record["rows"])):
        head = ("Documents made", "Work", "Tool", "Core-seconds", "Ours", "Ours is faster by")
        lines += [reporting.table(head, compared)]
    return "\n".join([*lines, pii_accuracy.section()])


def comparisons(rows: list[dict]) -> Iterator[tuple[str, ...]]:
    """Yields (documents made, work, tool, core-seconds, ours, ratio), also for cleaning and dedup together."""
    used = {(row["made"], row["step"]): row["core_seconds"] for row in rows}
    for made in dict.fromkeys(row["made"] for row in rows):
        works = {(other.package, other.does): OURS[other.does] for other in OTHERS}
        works["datatrove", "cleaning + dedup"] = OURS["cleaning"] + OURS["dedup"]
        for (package, work), steps in works.items():
            theirs = [used.get((made, f"{package} {part}")) for part in work.split(" + ")]
            if None not in theirs:
                ours = sum(used[made, step] for step in steps)
                yield f"{made:,}", work, package, f"{sum(theirs):.1f}", f"{ours:.1f}", f"{sum(theirs) / ours:.1f}×"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--datatrove", help="a Python that has datatrove")
    parser.add_argument("--text-dedup", help="a Python that has text-dedup")
    parser.add_argument(
        "--most-for-others", type=int, default=100_000, help="the other tools run up to so many documents"
    )
    parser.add_argument("--write", action="store_true", help="write docs/corpus.json and docs/corpus.md")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        run_step(given.step, given.store, given.folder)
        return
    pythons = {"datatrove": given.datatrove, "text-dedup": given.text_dedup}
    others = [(other, pythons[other.package]) for other in OTHERS if pythons[other.package]]
    record = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "workers": default_workers(),
        "versions": {"Python": platform.python_version()}
        | {other.package: version(python, other.package) for other, python in others},
        "bytes": {},
        "rows": [],
    }
    for count in given.documents:
        beside = others if count <= given.most_for_others else []
        rows, size = measure_all(given.store.resolve(), count, beside, lambda text: print(text, flush=True))
        record["rows"] += rows
        record["bytes"][str(count)] = size
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
