"""MinHash deduplication by datatrove, with the settings of Cria: for a Python that has datatrove, and run by corpus.py.

PYTHON benchmarks/datatrove_dedup.py FOLDER_OF_PARQUET OUT WORKERS
"""

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers.jsonl import JsonlWriter


def main(parent: Path, out: Path, workers: int) -> None:
    """Runs the four steps one after the other."""
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    tasks = len(list(parent.glob("*.parquet")))
    signatures, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "removed"))
    steps = [
        ([ParquetReader(str(parent)), MinhashDedupSignature(signatures, config=config)], tasks),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, removed, config=config)], 1),
        ([ParquetReader(str(parent)), MinhashDedupFilter(removed), JsonlWriter(str(out / "kept"))], tasks),
    ]
    for number, (pipeline, count) in enumerate(steps):
        logs = str(out / "logs" / str(number))
        LocalPipelineExecutor(pipeline=pipeline, tasks=count, workers=workers, logging_dir=logs).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
