"""Did contamination of the training tokens raise a benchmark score? The analysis of paper A.6, Table 51.

A token of a question is contaminated if it lies in a span of more than ten tokens that the training tokens contain too;
after the first ten, four tokens of a span may differ, but not its last (contaminated_tokens.py). A question's
contamination is the share of its tokens that are contaminated. It puts the question into two of four subsets: Clean
(< 20 %) or Not clean, Not dirty (< 80 %) or Dirty. For each subset of n questions, Z_n = (X̄ - µ) / (σ / √n), where X̄ is
its mean score, and µ and σ are mean and standard deviation of the scores of all questions. A score counts as affected if
|Z_n| > 2 in all four subsets, and Clean is worse and Dirty better than the others. The analysis is made for spans of at
least L = 10 to 50 tokens, because short ones may come from many documents; the largest L that is affected is reported.

The paper leaves open, and this stage decides:
- What a verbalised question is: the prompt as the model reads it, with the right answer, without solved examples.
- L = 10: a span must still be longer than ten, as in the definition of a contaminated token.
- The sampling distribution: n independent draws from the benchmark's scores. With it, the scores and sizes that Table 51
  prints give the Z that it prints; draws without replacement would not.
- An empty subset, or equal scores of all questions: there is no Z, and so no evidence.
- Documents: a span does not go on into the next document.
- What was trained on: all tokens of the mixture. Text that an adopted checkpoint saw before is not searched, nor are the
  dialogues of fine-tuning. The paper analyses pretrained models only; here the other models stand beside them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import AutoTokenizer

from data_cleaning.contamination.skipgrams import CLEAN, DIRTY
from data_cleaning.documents import write_shard
from modeling.core import reporting
from modeling.core.recipes import ContaminationTestRecipe
from modeling.evaluation.benchmark_tasks import MODELS
from modeling.evaluation.contaminated_tokens import shares
from modeling.pretraining.tokenizer import document_tokens

SIGNS = {"Clean": -1, "Not clean": 1, "Not dirty": -1, "Dirty": 1}  # of Z if contamination helps
SUBSETS = pa.schema(
    [("benchmark", pa.string()), ("least_length", pa.int64()), ("model", pa.string()), ("subset", pa.string()),
     ("questions", pa.int64()), ("contamination", pa.float64()), ("score", pa.float64()), ("expected", pa.float64()),
     ("z", pa.float64())]
)  # fmt: skip


def run(config: ContaminationTestRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write samples.parquet, subsets.parquet and report.md. Inputs: tokens, tokenizer, benchmark_scores.

    `samples.parquet` has each question's tokens and the contaminated share of them by L (share_10 … share_50), and
    `subsets.parquet` every subset by benchmark, L and model. Raises ValueError if there are no training tokens.
    """
    questions = pq.read_table(inputs["benchmark_scores"] / "questions.parquet").to_pydict()
    shards = sorted((inputs["tokens"] / "train").glob("*.npy"))
    if not shards:
        raise ValueError(f"No train/*.npy in {inputs['tokens']}: materialize the tokens first")
    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    encoded = tokenizer(questions["text"], add_special_tokens=False, split_special_tokens=True)["input_ids"]
    share = shares(config, encoded, shards, document_tokens(tokenizer), out, log)
    benchmark, sizes = np.array(questions["benchmark"]), np.array([len(ids) for ids in encoded])
    models = [role for role in MODELS if f"{role}_score" in questions]
    rows, overview = [], []
    for name in dict.fromkeys(questions["benchmark"]):
        of = benchmark == name
        found = [
            {"benchmark": name, "least_length": least, "model": role, **row}
            for least in config.least_lengths
            for role in models
            for row in subsets(share[least][of], np.array(questions[f"{role}_score"])[of])
        ]
        rows += found
        affected = affected_lengths(found, config.least_z)
        overview.append(described(name, share[config.least_lengths[0]][of], sizes[of]) | {"affected": affected})
    table = [row for row in rows if _reported(row, overview)]
    write_shard(pa.Table.from_pylist(rows, SUBSETS), out / "subsets.parquet")
    samples = {"benchmark": questions["benchmark"], "number": questions["number"], "tokens": sizes}
    samples |= {f"share_{least}": values for least, values in share.items()}
    write_shard(pa.table(samples), out / "samples.parquet")
    reporting.write_text(out / "report.md", report(config, overview, table))
    return {
        "questions": len(benchmark),
        "training_tokens": sum(len(np.load(shard, mmap_mode="r", allow_pickle=False)) for shard in shards),
        "contaminated_questions": sum(row["contaminated"] for row in overview),
        "not_clean_questions": sum(row["not_clean"] for row in overview),
        "dirty_questions": sum(row["dirty"] for row in overview),
        "affected_scores": sum(len(row["affected"]) for row in overview),
        "overview": overview,
        "rows": table,
    }


def subsets(share_N: np.ndarray, score_N: np.ndarray) -> list[dict]:
    """Returns a row for each of the four subsets of N questions: size, mean contamination, mean score, expectation, Z.

    Means are None in an empty subset, and so is Z, also if all scores are equal.
    """
    inside = {
        "Clean": share_N < CLEAN,
        "Not clean": share_N >= CLEAN,
        "Not dirty": share_N < DIRTY,
        "Dirty": share_N >= DIRTY,
    }
    rows = []
    for name, of in inside.items():
        count = int(of.sum())
        mean = float(score_N[of].mean()) if count else None
        z = z_score(mean, float(score_N.mean()), float(score_N.std()), count) if count else None
        contamination = float(share_N[of].mean()) if count else None
        row = {"subset": name, "questions": count, "contamination": contamination, "score": mean}
        rows.append(row | {"expected": float(score_N.mean()), "z": z})
    return rows


def z_score(mean: float, expected: float, deviation: float, count: int) -> float | None:
    """Returns (mean - expected) / (deviation / √count), or None if the deviation is 0."""
    return (mean - expected) / (deviation / count**0.5) if deviation else None


def affected_lengths(rows: Sequence[dict], least_z: float) -> dict[str, int]:
    """Returns model → the largest least length L at which all four subsets say that contamination raised its score."""
    evidence: dict[tuple[str, int], list[bool]] = {}
    for row in rows:
        strong = row["z"] is not None and SIGNS[row["subset"]] * row["z"] > least_z
        evidence.setdefault((row["model"], row["least_length"]), []).append(strong)
    lengths: dict[str, int] = {}
    for (model, least), strong in evidence.items():
        if all(strong):
            lengths[model] = max(least, lengths.get(model, 0))
    return lengths


def described(name: str, share_N: np.ndarray, tokens_N: np.ndarray) -> dict:
    """Returns how much of a benchmark is contaminated, by spans of the shortest length."""
    return {
        "benchmark": name,
        "questions": len(share_N),
        "contaminated_tokens_percent": round(100 * float((share_N * tokens_N).sum() / max(tokens_N.sum(), 1)), 3),
        "contaminated": int((share_N > 0).sum()),
        "not_clean": int((share_N >= CLEAN).sum()),
        "dirty": int((share_N >= DIRTY).sum()),
    }


def _reported(row: dict, overview: Sequence[dict]) -> bool:
    lengths = next(one["affected"] for one in overview if one["benchmark"] == row["benchmark"])
    return lengths.get(row["model"]) == row["least_length"]


def report(config: ContaminationTestRecipe, overview: Sequence[dict], rows: Sequence[dict]) -> str:
    names = ("benchmark", "questions", "contaminated_tokens_percent", "contaminated", "not_clean", "dirty")
    head = ("benchmark", "questions", "contaminated tokens %", "contaminated questions", "not clean", "dirty")
    lines = [
        "# Contamination of benchmark questions by the training tokens (paper A.6)",
        "",
        reporting.table(head, ([row[name] for name in names] for row in overview)),
        f"Spans longer than {config.exact_tokens} tokens. Not clean: from {100 * CLEAN:.0f} % of the tokens on; dirty:",
        f"from {100 * DIRTY:.0f} % on. subsets.parquet has all subsets.",
        "",
    ]
    if not rows:
        return "\n".join(
            [*lines, f"No score is affected: at no L do all four subsets have |Z| > {config.least_z:g}.", ""]
        )
    head = ("benchmark", "L", "model", "subset", "contamination %", "n", "score %", "expected %", "Z")
    cells = (
        (row["benchmark"], row["least_length"], MODELS[row["model"]], row["subset"], f"{100 * row['contamination']:.1f}",
         row["questions"], f"{100 * row['score']:.1f}", f"{100 * row['expected']:.1f}", f"{row['z']:.2f}")
        for row in rows
    )  # fmt: skip
    return "\n".join([*lines, "## Affected scores (Table 51)", "", reporting.table(head, cells)])
