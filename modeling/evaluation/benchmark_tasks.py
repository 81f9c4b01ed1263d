"""Writes lm-eval tasks from the files of the `benchmarks` artifact, without access to a hub.

Each task is a JSON file and a YAML definition that names it by its absolute path. A choice is scored by the likelihood
of its full text after the question; MMLU is scored on the letter, as usual. Formats follow lm-eval's own task if it
has one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from data_cleaning.json_lines import read_rows
from modeling.core import hashing, json_text

NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
CHOICE = re.compile(r"\n(?=[A-F]\.\s?)")


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: the files of its rows, the conversion of a row to a question, and the paper's figure for 7B."""

    name: str
    pattern: str  # of its files under raw/ in the artifact
    convert: Callable[[dict], dict | None]  # a row of the file → {"prompt", "choices", "gold"} or {"prompt", "answers"}
    metric: str  # acc | acc_norm (likelihood per character) | exact_match (of a greedy answer)
    shots: int  # the paper's number; 0 for models with a context shorter than LONG_CONTEXT
    paper_7b: float | None  # Llama 2 7B, per cent, Table 20; the paper's formats and subsets differ
    note: str = ""
    stops: tuple[str, ...] = (".", ",")  # a free answer ends at one of these or at the end of the line
    reading: dict = field(default_factory=lambda: {"function": "remove_whitespace"})  # lm-eval filter for a free answer


LONG_CONTEXT = 2048
DELIMITER = " "  # between a prompt and its answer
MODELS = {"initial_model": "Checkpoint", "base_model": "Pretrained", "chat_model": "Chat"}  # who is asked: role → name


def choices_of(row: dict) -> tuple[list[str], int] | None:
    """Returns (texts without letters, index of the correct one), or None if the correct answer is not among them."""
    options = [option.strip() for option in CHOICE.split(row["options"].strip())]
    if row["answer"].strip() not in options:
        return None
    return [re.sub(r"^[A-F]\.\s?", "", option).strip() for option in options], options.index(row["answer"].strip())


def multiple(template: str) -> Callable[[dict], dict | None]:
    """Returns a converter to questions whose choices continue `template`."""

    def convert(row: dict) -> dict | None:
        found = choices_of(row)
        if found is None or not all(found[0]):
            return None
        fields = {name: row.get(name, "").strip() for name in ("passage", "question")}
        return {"prompt": template.format(**fields), "choices": found[0], "gold": found[1]}

    return convert


def mmlu(row: dict) -> dict | None:
    """The prompt lists the options with their letters and asks for the letter."""
    found = choices_of(row)
    if found is None:
        return None
    letters = "ABCDEF"[: len(found[0])]
    shown = "\n".join(f"{letter}. {text}" for letter, text in zip(letters, found[0], strict=True))
    prompt = f"{row['question'].strip()}\n{shown}\nAnswer:"
    return {"prompt": prompt, "choices": list(letters), "gold": found[1]}


def boolq(row: dict) -> dict | None:
    prompt = f"{row['passage'].strip()}\nQuestion: {row['question'].strip().rstrip('?')}?\nAnswer:"
    return {"prompt": prompt, "choices": ["no", "yes"], "gold": int(str(row["answer"]).strip().lower() == "true")}


def open_question(row: dict) -> dict | None:
    answers = [answer for answer in row["answer"] if answer.strip()]
    return {"prompt": f"Q: {row['question'].strip().rstrip('?')}?\nA:", "answers": answers} if answers else None


def arithmetic(row: dict) -> dict | None:
    """The answer is the number alone, as in the paper's tool-use table (Table 15)."""
    number = re.match(NUMBER, row["answer"].strip())
    if number is None:
        return None
    prompt = f"{row['passage'].strip()}\nQuestion: {row['question'].strip()}\nAnswer:"
    return {"prompt": prompt, "answers": [number.group().replace(",", "")]}


def true_answer(row: dict) -> dict | None:
    return {"prompt": f"Q: {row['question'].strip()}\nA:", "answers": [row["answer"][0]]} if row["answer"] else None


def with_foreign_answers(docs: Sequence[dict], count: int = 3) -> list[dict]:
    """Adds the answers of `count` other questions as wrong choices: TruthfulQA's file has correct answers only."""
    found = []
    for place, doc in enumerate(docs):
        wrong, step = [], 1
        while len(wrong) < count and step < len(docs):
            other = docs[(place + step * 37) % len(docs)]["answers"][0]
            if other not in (doc["answers"][0], *wrong):
                wrong.append(other)
            step += 1
        gold = hashing.number(doc["prompt"]) % (len(wrong) + 1)
        choices = [*wrong[:gold], doc["answers"][0], *wrong[gold:]]
        found.append({"prompt": doc["prompt"], "choices": choices, "gold": gold})
    return found


ANSWER = "Question: {question}\nAnswer:"
PASSAGE = "{passage}\nQuestion: {question}\nAnswer:"
BENCHMARKS = (
    Benchmark("mmlu", "mmlu/*.jsonl", mmlu, "acc", 5, 45.3, "2,850 of its 14,042 questions"),
    Benchmark("boolq", "boolq/*.jsonl", boolq, "acc", 0, 77.4),
    Benchmark("openbookqa", "openbookqa/*.jsonl", multiple("{question}"), "acc_norm", 0, 58.6),
    Benchmark("piqa", "piqa/*.jsonl", multiple(ANSWER), "acc_norm", 0, 78.8, "1,500 of its 1,838 questions"),
    Benchmark("siqa", "siqa/*.jsonl", multiple("Q: {passage} {question}\nA:"), "acc", 0, 48.3),
    Benchmark("commonsenseqa", "commonsenseqa/*.jsonl", multiple(ANSWER), "acc", 7, 57.8),
    Benchmark("logiqa", "logiqa/*.jsonl", multiple(PASSAGE), "acc_norm", 0, None),
    Benchmark("medqa", "medqa/*.jsonl", multiple(ANSWER), "acc_norm", 0, None),
    Benchmark("truthfulqa_match", "truthfulqa/*.jsonl", true_answer, "acc_norm", 0, None,
              "the true answer among true answers to other questions; not the paper's metric"),
    Benchmark("nq_open", "nq-open/*.jsonl", open_question, "exact_match", 5, None),
    Benchmark("asdiv", "asdiv/*.jsonl", arithmetic, "exact_match", 0, None, "without a calculator",
              stops=(), reading={"function": "regex", "regex_pattern": f"({NUMBER})"}),
)  # fmt: skip


def named(names: Sequence[str]) -> list[Benchmark]:
    """Returns the benchmarks of these names, in their order. Raises ValueError, which lists all, for an unknown one."""
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no benchmark {', '.join(unknown)}: use some of {', '.join(known)}")
    return [known[name] for name in names]


def read_docs(benchmark: Benchmark, folder: Path) -> tuple[list[dict], int]:
    """Returns (questions ordered by a hash, number of rows dropped because their answer is not among the choices)."""
    paths = sorted((folder / "raw").glob(benchmark.pattern))
    if not paths:
        raise ValueError(
            f"{folder} has no raw/{benchmark.pattern}: keep the source in sources.toml with use = benchmarks"
        )
    converted = [benchmark.convert(row) for path in paths for _, row in read_rows(path)]
    docs = [doc for doc in converted if doc is not None]
    if benchmark.convert is true_answer:
        docs = with_foreign_answers(docs)
    docs.sort(key=lambda doc: (hashing.number(doc["prompt"]), doc["prompt"]))
    return docs, converted.count(None)


def divide(docs: Sequence[dict], limit: int, shots: int) -> tuple[list[dict], list[dict]]:
    """Returns (test questions, few-shot examples): the first `limit` of `docs` (0: all) and the last `shots`.

    Every question and model gets the same examples, and no example is a test question. Raises ValueError if no question
    is left.
    """
    others = len(docs) - shots
    if others < 1:
        raise ValueError(f"{len(docs)} questions are too few for {shots} solved examples and one to ask")
    return list(docs[: min(limit or others, others)]), list(docs[others:])


def verbalised(doc: dict) -> str:
    """Returns a question as a model reads it, with its right answer: the first one if several are accepted."""
    answer = doc["choices"][doc["gold"]] if "choices" in doc else doc["answers"][0]
    return f"{doc['prompt']}{DELIMITER}{answer}"


def chance(benchmark: Benchmark, docs: Sequence[dict]) -> float:
    """Accuracy of a random guess; 0 for free-text answers."""
    if benchmark.metric == "exact_match":
        return 0.0
    return sum(1 / len(doc["choices"]) for doc in docs) / len(docs)


def write_task(benchmark: Benchmark, docs: Sequence[dict], solved: Sequence[dict], folder: Path) -> None:
    """Writes `<name>.json`, `<name>.shots.json` if there are examples, and `<name>.yaml` with their absolute paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for split, rows, suffix in (("test", docs, "json"), ("shots", solved, "shots.json")):
        if rows:
            files[split] = str((folder / f"{benchmark.name}.{suffix}").resolve())
            text = "\n".join(json_text.dumps(doc, ensure_ascii=False) for doc in rows)
            Path(files[split]).write_text(text, encoding="utf-8")
    task: dict = {
        "task": f"cria_{benchmark.name}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files, "cache_dir": str((folder / "cache").resolve())},
        "test_split": "test",
        "fewshot_split": "shots" if solved else "test",
        # Only lm-eval's own command seeds its sampler of examples. A fixed list gives all models the same.
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": len(solved),
        "doc_to_text": "{{prompt}}",
        "target_delimiter": DELIMITER,
        "metadata": {"version": 1},
    }
    if benchmark.metric == "exact_match":
        task |= {
            "output_type": "generate_until",
            "doc_to_target": "answers",
            "generation_kwargs": {"until": ["\n", *benchmark.stops], "do_sample": False, "max_gen_toks": 16},
            "filter_list": [{"name": "none", "filter": [benchmark.reading, {"function": "take_first"}]}],
            "metric_list": [
                {
                    "metric": "exact_match",
                    "aggregation": "mean",
                    "higher_is_better": True,
                    "ignore_case": True,
                    "ignore_punctuation": True,
                    "regexes_to_ignore": [r"\b(?:The |the |An |A |The |a |an )"],
                }
            ],
        }
    else:
        names = sorted({"acc", benchmark.metric})
        metric = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]
        task |= {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "gold"}
        task["metric_list"] = metric
    (folder / f"{benchmark.name}.yaml").write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
