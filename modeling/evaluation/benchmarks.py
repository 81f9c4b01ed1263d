"""Academic benchmarks before and after training: lm-eval in process on local files (paper 2.3, Table 20).

They are asked of the checkpoint that the scale starts from, if it has one, of the pretrained model and of the final one.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from data_cleaning.documents import write_shard
from modeling.core import reporting, resumable_generation, runtime, unused_ids
from modeling.core.recipes import EvaluationRecipe
from modeling.core.statistics import wilson_interval
from modeling.evaluation.benchmark_tasks import (
    LONG_CONTEXT,
    Benchmark,
    chance,
    divide,
    named,
    read_docs,
    verbalised,
    write_task,
)
from modeling.evaluation.versions import checkpoint

BATCH = 16


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write benchmarks.json, questions.parquet and report.md.

    Inputs: initial_model (or none), base_model, chat_model, benchmarks. `questions.parquet` has a row per question:
    benchmark, number, text (as verbalised), and `<role>_score` of each model, 0 or 1.
    """
    asked, models = named(config.benchmarks), model_folders(inputs)
    scratch = out / "_scratch"
    shutil.rmtree(scratch / "tasks", ignore_errors=True)
    context = AutoConfig.from_pretrained(inputs["base_model"]).max_position_embeddings
    docs, dropped = {}, {}
    for benchmark in asked:
        every, dropped[benchmark.name] = read_docs(benchmark, inputs["benchmarks"])
        docs[benchmark.name], solved = divide(every, config.benchmark_limit, shots(benchmark, context))
        write_task(benchmark, docs[benchmark.name], solved, scratch / "tasks")
    results = {}
    for number, (name, folder) in enumerate(models.items(), start=1):
        results[name] = resumable_generation.kept(
            scratch / f"{name}.json", lambda folder=folder: evaluate(load(folder), scratch / "tasks", asked)
        )
        log.progress(number, len(models), unit="model", **{row["benchmark"]: row["accuracy"] for row in results[name]})
    rows, questions = [], []
    for benchmark in asked:
        of_benchmark = {name: next(r for r in results[name] if r["benchmark"] == benchmark.name) for name in models}
        rows.append(
            {
                "benchmark": benchmark.name,
                "metric": benchmark.metric,
                "shots": shots(benchmark, context),
                "questions": len(docs[benchmark.name]),
                "rows_without_a_valid_answer": dropped[benchmark.name],
                "chance": chance(benchmark, docs[benchmark.name]),
                "paper_7b": benchmark.paper_7b,
                "note": benchmark.note,
                **{f"{name}_accuracy": row["accuracy"] for name, row in of_benchmark.items()},
            }
        )
        scores = {f"{name}_score": row["scores"] for name, row in of_benchmark.items()}
        for number, doc in enumerate(docs[benchmark.name]):
            known = {"benchmark": benchmark.name, "number": number, "text": verbalised(doc)}
            questions.append(known | {name: score[number] for name, score in scores.items()})
    reporting.write_json(out / "benchmarks.json", rows)
    write_shard(pa.Table.from_pylist(questions), out / "questions.parquet")
    reporting.write_text(out / "report.md", report(rows, list(models)))
    figures = {f"{row['benchmark']}_{name}": row[f"{name}_accuracy"] for row in rows for name in models}
    return {**figures, "questions": sum(row["questions"] for row in rows), "rows": rows}


def model_folders(inputs: dict[str, Path]) -> dict[str, Path]:
    """Returns role → folder: initial_model if it holds weights, base_model, chat_model."""
    start = checkpoint(inputs)
    first = {} if start is None else {"initial_model": start}
    return first | {role: inputs[role] for role in ("base_model", "chat_model")}


def shots(benchmark: Benchmark, context: int) -> int:
    """Number of few-shot examples: the paper's, or 0 if they would not fit into the context with the question."""
    return benchmark.shots if context >= LONG_CONTEXT else 0


def load(folder: Path):
    """Loads the model in lm-eval's Hugging Face adapter, with bfloat16 matrix products where they are faster."""
    from lm_eval.models.huggingface import HFLM

    class Quiet(HFLM):
        """Hides lm-eval's progress bars: the stage reports its own progress."""

        def loglikelihood(self, requests, disable_tqdm=False):
            return super().loglikelihood(requests, disable_tqdm=True)

        def generate_until(self, requests, disable_tqdm=False):
            return super().generate_until(requests, disable_tqdm=True)

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns for each question truncated to the context
    where = runtime.device()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(where).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    unused_ids.bar(model, tokenizer)
    return Quiet(
        pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=BATCH,
        mixed_precision_dtype="bfloat16" if runtime.bfloat16_products(where) else None,
        max_length=model.config.max_position_embeddings, add_bos_token=tokenizer.bos_token_id is not None,
    )  # fmt: skip


def evaluate(lm, tasks: Path, benchmarks: Sequence[Benchmark]) -> list[dict]:
    """Returns one row per benchmark: its accuracy and lm-eval's score of each question, in the order of the task's file."""
    # lm-eval looks up metrics and data on a hub unless it is set to offline mode.
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = os.environ["HF_EVALUATE_OFFLINE"] = "1"
    import lm_eval.evaluator
    import lm_eval.tasks

    manager = lm_eval.tasks.TaskManager(include_path=str(tasks), include_defaults=False)
    loaded = manager.load([f"cria_{benchmark.name}" for benchmark in benchmarks])
    outcome = lm_eval.evaluator.evaluate(lm, loaded, bootstrap_iters=0, log_samples=True)
    return [_row(benchmark, outcome["samples"][f"cria_{benchmark.name}"]) for benchmark in benchmarks]


def _row(benchmark: Benchmark, samples: Sequence[dict]) -> dict:
    scores = [float(sample[benchmark.metric]) for sample in sorted(samples, key=lambda sample: sample["doc_id"])]
    return {
        "benchmark": benchmark.name,
        "accuracy": sum(scores) / len(scores),
        "questions": len(scores),
        "scores": scores,
    }


def report(rows: Sequence[dict], models: Sequence[str]) -> str:
    table = []
    for row in rows:
        cells = [row["benchmark"], row["questions"], row["shots"], row["metric"], f"{100 * row['chance']:.1f}"]
        for name in models:
            accuracy = row[f"{name}_accuracy"]
            low, high = wilson_interval(accuracy * row["questions"], row["questions"])
            cell = f"{100 * accuracy:.1f} ({100 * low:.0f}–{100 * high:.0f})"
            cells.append(f"**{cell}**" if low > row["chance"] else cell)
        paper = "" if row["paper_7b"] is None else f"{row['paper_7b']:.1f}"
        table.append([*cells, paper, row["note"]])
    header = ("benchmark", "questions", "shots", "metric", "chance %", *(n.replace("_", " ") for n in models),
              "Llama 2 7B (paper)", "note")  # fmt: skip
    return "\n".join(
        [
            "# Benchmarks against chance",
            "",
            "Per cent with 95 % intervals (Wilson); bold: the whole interval is above chance. The paper's figures",
            "(Table 20) are for scale only: its formats are not public and the question sets differ. acc_norm:",
            "likelihood per character of the choice; exact_match: of the greedy answer, for asdiv of its first",
            "number. All models get plain text without a chat template.",
            "",
            reporting.table(header, table),
        ]
    )
