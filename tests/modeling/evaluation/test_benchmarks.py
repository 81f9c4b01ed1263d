"""Benchmarks: the scoring is checked with models whose answers are known, and with a real one that learnt them by heart."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from lm_eval.api.model import LM
from transformers import LlamaConfig, LlamaForCausalLM

from data_cleaning.json_lines import read_rows
from modeling.evaluation import benchmark_tasks, benchmarks
from modeling.evaluation.benchmark_tasks import BENCHMARKS
from modeling.pretraining import tokenizer as tokenizers
from tests.data_cleaning.samples import LINE_SEPARATORS
from tests.modeling.toy_evaluation import RECIPE

pytestmark = pytest.mark.trains

SUBJECTS = ["stone", "river", "cloud", "bird", "house", "lamp"]
COLOURS = ["red", "blue", "green", "white", "black", "grey"]


def rows_of(name: str) -> list[dict]:
    """Six rows in the format of each benchmark's file."""
    found = []
    for place, thing in enumerate(SUBJECTS):
        right, wrong = COLOURS[place], COLOURS[(place + 1) % 6]
        question = f"Which colour has the {thing}?"
        options = [right, wrong] if place % 2 else [wrong, right]
        letters = [f"{letter}. {text}" for letter, text in zip("AB", options, strict=True)]
        row = {"question": question, "passage": f"The {thing} is old.", "options": "\n".join(letters)}
        row["answer"] = letters[options.index(right)]
        if name == "boolq":
            row = {"question": f"is the {thing} old", "passage": row["passage"], "answer": str(place % 2 == 0)}
        if name in ("nq-open", "truthfulqa"):
            row = {"question": question, "answer": [right, f"the {right}"]}
        if name == "asdiv":
            row = {
                "question": f"How many {thing}s?",
                "passage": f"There are {place} {thing}s.",
                "answer": f"{place} {thing}s",
            }
        found.append(row)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("benchmarks")
    for benchmark in BENCHMARKS:
        name = benchmark.pattern.split("/")[0]
        (root / "raw" / name).mkdir(parents=True)
        (root / "raw" / name / "test.jsonl").write_text("\n".join(json.dumps(row) for row in rows_of(name)))
    return root


class Oracle(LM):
    """Knows the right answers, and gives them (or, turned around, their opposite)."""

    def __init__(self, docs: dict[str, list[dict]], honest: bool) -> None:
        super().__init__()
        self.honest = honest
        every = [doc for of_benchmark in docs.values() for doc in of_benchmark]
        self.right = {(d["prompt"], " " + d["choices"][d["gold"]]) for d in every if "choices" in d}
        self.right |= {(d["prompt"], " " + d["answers"][0]) for d in every if "answers" in d}
        self.texts = {d["prompt"]: d["answers"][-1] for d in every if "answers" in d}

    def loglikelihood(self, requests, **_):
        hits = [(request.args in self.right) == self.honest for request in requests]
        return [(0.0 if hit else -100.0 * len(r.args[1]), hit) for hit, r in zip(hits, requests, strict=True)]

    def generate_until(self, requests, **_):
        return [self.texts[request.args[0]] if self.honest else "no idea" for request in requests]

    def loglikelihood_rolling(self, requests, **_):
        raise NotImplementedError


def prepare(folder, tasks) -> dict[str, list[dict]]:
    docs = {}
    for benchmark in BENCHMARKS:
        docs[benchmark.name], _ = benchmark_tasks.read_docs(benchmark, folder)
        benchmark_tasks.write_task(benchmark, docs[benchmark.name], [], tasks)
    return docs


def test_a_model_that_is_right_scores_all_and_one_that_is_wrong_none(folder, tmp_path):
    docs = prepare(folder, tmp_path / "tasks")
    right = benchmarks.evaluate(Oracle(docs, honest=True), tmp_path / "tasks", BENCHMARKS)
    wrong = benchmarks.evaluate(Oracle(docs, honest=False), tmp_path / "tasks", BENCHMARKS)
    assert {row["benchmark"]: row["accuracy"] for row in right} == {b.name: 1.0 for b in BENCHMARKS}
    assert {row["benchmark"]: row["accuracy"] for row in wrong} == {b.name: 0.0 for b in BENCHMARKS}
    assert all(row["questions"] == 6 for row in right)


def test_each_score_belongs_to_its_question(folder, tmp_path):
    """A model that answers every second question of the file alone."""
    docs = prepare(folder, tmp_path / "tasks")
    open_ended = [benchmark for benchmark in BENCHMARKS if benchmark.metric == "exact_match"]

    class Half(Oracle):
        def generate_until(self, requests, **_):
            return [self.texts.get(request.args[0], "no idea") for request in requests]

    half = Half({benchmark.name: docs[benchmark.name][1::2] for benchmark in open_ended}, honest=True)
    for row in benchmarks.evaluate(half, tmp_path / "tasks", open_ended):
        assert row["scores"] == [0.0, 1.0] * 3, row["benchmark"]


def test_rows_become_questions(folder):
    docs = {b.name: benchmark_tasks.read_docs(b, folder)[0] for b in BENCHMARKS}
    stone = next(doc for doc in docs["mmlu"] if "stone" in doc["prompt"])
    assert stone == {
        "prompt": "Which colour has the stone?\nA. blue\nB. red\nAnswer:",
        "choices": ["A", "B"],
        "gold": 1,
    }
    river = next(doc for doc in docs["piqa"] if "river" in doc["prompt"])
    assert river == {
        "prompt": "Question: Which colour has the river?\nAnswer:",
        "choices": ["blue", "green"],
        "gold": 0,
    }
    old = next(doc for doc in docs["boolq"] if "stone" in doc["prompt"])
    assert old == {
        "prompt": "The stone is old.\nQuestion: is the stone old?\nAnswer:",
        "choices": ["no", "yes"],
        "gold": 1,
    }
    match = docs["truthfulqa_match"][0]
    assert len(set(match["choices"])) == 4 and benchmark_tasks.chance(BENCHMARKS[8], docs["truthfulqa_match"]) == 0.25
    assert {doc["answers"][0] for doc in docs["asdiv"]} == set("012345")


def test_rows_without_a_valid_answer_are_left_out_and_counted(tmp_path):
    good, bad = rows_of("piqa")[0], rows_of("piqa")[1] | {"answer": "C. neither"}
    (tmp_path / "raw" / "piqa").mkdir(parents=True)
    (tmp_path / "raw" / "piqa" / "a.jsonl").write_text(json.dumps(good) + "\n\n" + json.dumps(bad))
    piqa = next(b for b in BENCHMARKS if b.name == "piqa")
    docs, dropped = benchmark_tasks.read_docs(piqa, tmp_path)
    assert len(docs) == 1 and dropped == 1
    with pytest.raises(ValueError, match="raw/mmlu"):
        benchmark_tasks.read_docs(BENCHMARKS[0], tmp_path)


def test_line_separators_inside_strings_end_no_question(tmp_path):
    rows = [row | {"question": f"{row['question']}{LINE_SEPARATORS}?"} for row in rows_of("piqa")]
    (tmp_path / "raw" / "piqa").mkdir(parents=True)
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "raw" / "piqa" / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    piqa = next(b for b in BENCHMARKS if b.name == "piqa")
    docs, _ = benchmark_tasks.read_docs(piqa, tmp_path)
    assert len(docs) == len(rows) and all(LINE_SEPARATORS in doc["prompt"] for doc in docs)
    benchmark_tasks.write_task(piqa, docs, [], tmp_path / "tasks")
    assert [row for _, row in read_rows(tmp_path / "tasks" / "piqa.json")] == docs


def test_a_limit_keeps_the_same_questions(folder):
    for benchmark in BENCHMARKS:
        every, _ = benchmark_tasks.read_docs(benchmark, folder)
        assert benchmark_tasks.divide(every, 3, 0) == (every[:3], [])
        assert benchmark_tasks.divide(every, 3, 2) == (every[:3], every[-2:])
        assert benchmark_tasks.divide(every, 0, 2) == (every[:-2], every[-2:])
    with pytest.raises(ValueError, match="too few"):
        benchmark_tasks.divide(every, 0, len(every))


def test_every_question_and_model_gets_the_same_solved_examples(folder, tmp_path):
    """What lm-eval really asks, by two runs: the last rows of the file before each question, in their order."""
    benchmark = next(b for b in BENCHMARKS if b.name == "piqa")
    asked, solved = benchmark_tasks.divide(benchmark_tasks.read_docs(benchmark, folder)[0], 3, 2)
    benchmark_tasks.write_task(benchmark, asked, solved, tmp_path)
    contexts = []

    class Listening(Oracle):
        def loglikelihood(self, requests, **_):
            contexts.append([request.args[0] for request in requests])
            return super().loglikelihood(requests)

    for _ in range(2):
        assert benchmarks.evaluate(Listening({"piqa": asked}, honest=True), tmp_path, [benchmark])[0]["questions"] == 3
    before = "".join(f"{d['prompt']} {d['choices'][d['gold']]}\n\n" for d in solved)
    assert contexts[0] == contexts[1]
    assert set(contexts[0]) == {before + doc["prompt"] for doc in asked}


def save_model(folder, learnt: list[str], steps: int):
    tokenizer = tokenizers.train([*learnt, *SUBJECTS, *COLOURS] * 5, 500)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=96, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = tokenizer(learnt, padding=True, padding_side="right", return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for _ in range(steps):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_real_model_that_knows_the_answers_scores_above_one_that_does_not(folder, tmp_path, log):
    docs = {b.name: benchmark_tasks.read_docs(b, folder)[0] for b in BENCHMARKS}
    texts = [f"{d['prompt']} {d['choices'][d['gold']]}" for name in ("piqa", "boolq") for d in docs[name]]
    texts += [f"{d['prompt']} {d['answers'][0]}\n" for name in ("nq_open", "asdiv") for d in docs[name]]
    knows = save_model(tmp_path / "knows", texts, steps=120)
    ignorant = save_model(tmp_path / "ignorant", texts, steps=0)
    longer = [f"{d['prompt']} {d['answers'][0]}2\n" for d in docs["asdiv"]]  # 72 where 7 is right
    begins = save_model(tmp_path / "begins", [*texts[: -len(longer)], *longer], steps=120)
    out = tmp_path / "out"
    out.mkdir()
    inputs = {"initial_model": begins, "base_model": ignorant, "chat_model": knows, "benchmarks": folder}
    metrics = benchmarks.run(RECIPE, inputs, out, log)
    for name in ("piqa", "boolq", "nq_open", "asdiv"):
        assert metrics[f"{name}_chat_model"] == 1.0, name
    assert metrics["nq_open_base_model"] == 0.0 and metrics["asdiv_base_model"] < 0.5
    assert metrics["nq_open_initial_model"] == 1.0 and metrics["asdiv_initial_model"] == 0.0
    assert metrics["piqa_base_model"] < 1.0
    row = next(r for r in json.loads((out / "benchmarks.json").read_text()) if r["benchmark"] == "piqa")
    assert row["chance"] == 0.5 and row["paper_7b"] == 78.8 and row["questions"] == 6 and row["shots"] == 0
    report = (out / "report.md").read_text()
    assert "| piqa | 6 | 0 | acc_norm | 50.0 |" in report and "**100.0 (61–100)**" in report  # Wilson, six of six
    assert [r["benchmark"] for r in json.loads((out / "benchmarks.json").read_text())] == list(RECIPE.benchmarks)
    questions = pq.read_table(out / "questions.parquet").to_pylist()
    for name in RECIPE.benchmarks:
        of = [question for question in questions if question["benchmark"] == name]
        assert [question["number"] for question in of] == list(range(6))
        assert [question["text"] for question in of] == [benchmark_tasks.verbalised(doc) for doc in docs[name]]
        for role in inputs.keys() - {"benchmarks"}:
            assert sum(question[f"{role}_score"] for question in of) == pytest.approx(6 * metrics[f"{name}_{role}"])
    kept = (out / "_scratch" / "chat_model.json").stat().st_mtime_ns
    assert benchmarks.run(RECIPE, inputs, out, log) == metrics  # finished models are not scored again
    assert (out / "_scratch" / "chat_model.json").stat().st_mtime_ns == kept


def test_a_scale_without_a_checkpoint_asks_two_models(tmp_path):
    inputs = {role: tmp_path / role for role in ("initial_model", "base_model", "chat_model")}
    assert list(benchmarks.model_folders(inputs)) == ["base_model", "chat_model"]


def test_an_unknown_benchmark_is_an_error_that_lists_the_known_ones():
    assert [b.name for b in benchmark_tasks.named(["piqa", "mmlu"])] == ["piqa", "mmlu"]
    with pytest.raises(ValueError, match="no benchmark quiz: use some of mmlu, boolq"):
        benchmark_tasks.named(["piqa", "quiz"])
