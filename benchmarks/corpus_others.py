"""The other tools of the corpus benchmark: their commands, versions, and the documents that they keep."""

import gzip
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.shards import default_workers

HERE = Path(__file__).resolve().parent
READ = "import sys; from datasets import load_from_disk; print('\\n'.join(load_from_disk(sys.argv[1])['id']))"
VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


@dataclass(frozen=True)
class Other:
    """A tool on the documents that one of our steps reads."""

    package: str
    does: str  # "cleaning" or "dedup"
    reads: str  # the folder of the documents
    beside: str  # the step whose documents are the same work done by us
    command: Callable[[str, Path, Path, Path], list[str]]  # of Python, documents, output, language model
    kept: Callable[[str, Path], set[str]]  # ids, of Python and output

    @property
    def name(self) -> str:
        return f"{self.package} {self.does}"


def datatrove(script: str) -> Callable[[str, Path, Path, Path], list[str]]:
    def command(python: str, documents: Path, out: Path, model: Path) -> list[str]:
        return [python, str(HERE / script), str(documents), str(out), str(default_workers()), str(model)]

    return command


def text_dedup(python: str, documents: Path, out: Path, model: Path) -> list[str]:
    data = ["--path", "parquet", "--data_files", f"{documents}/*.parquet", "--split", "train", "--column", "text"]
    files = ["--cache_dir", f"{out}-cache", "--output", str(out), "--num_proc", str(default_workers())]
    bands = ["--ngram", "5", "--num_perm", "112", "--b", "14", "--r", "8", "--hash_func", "xxh3"]
    return [python, "-m", "text_dedup.minhash", *data, *files, *bands]


def kept_by_datatrove(python: str, out: Path) -> set[str]:
    found = set()
    for path in (out / "kept").glob("*.jsonl.gz"):
        with gzip.open(path, "rt") as lines:
            found.update(json.loads(line)["id"] for line in lines)
    return found


def kept_by_text_dedup(python: str, out: Path) -> set[str]:
    return set(subprocess.run([python, "-c", READ, out], check=True, capture_output=True, text=True).stdout.split())


def version(python: str, package: str) -> str:
    return subprocess.run([python, "-c", VERSION, package], check=True, capture_output=True, text=True).stdout.strip()


OTHERS = (
    Other("datatrove", "cleaning", "documents", "pii", datatrove("datatrove_cleaning.py"), kept_by_datatrove),
    Other("datatrove", "dedup", "pii", "dedup", datatrove("datatrove_dedup.py"), kept_by_datatrove),
    Other("text-dedup", "dedup", "pii", "dedup", text_dedup, kept_by_text_dedup),
)
OURS = {"cleaning": ("language", "quality", "pii"), "dedup": ("signatures", "dedup")}
