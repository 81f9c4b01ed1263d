"""The cleaning of web pages by datatrove, with the rules of Cria: for a Python that has datatrove, and run by corpus.py.

PYTHON benchmarks/datatrove_cleaning.py FOLDER_OF_PARQUET OUT WORKERS FASTTEXT_MODEL

The filters are those of FineWeb's pipeline in their order. All thresholds are those of Cria's profile "web": C4 without
the rule on line ends, and FineWeb's share of characters in repeated lines.
"""

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers.jsonl import JsonlWriter


def main(parent: Path, out: Path, workers: int, model: str) -> None:
    """Runs all filters in one pass."""
    language = LanguageFilter(languages=["en"], language_threshold=0.5)
    language.model.MODEL_URL = f"file://{model}"  # it would download its own
    pipeline = [
        ParquetReader(str(parent)),
        language,
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False, remove_citations=False),
        FineWebQualityFilter(),
        PIIFormatter(),
        JsonlWriter(str(out / "kept")),
    ]
    tasks = len(list(parent.glob("*.parquet")))
    LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=workers, logging_dir=str(out / "logs")).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
