"""The Z test against the paper's Table 51, and the stage from texts to tables."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modeling.core.recipes import TokensRecipe
from modeling.evaluation import benchmark_contamination as stage
from modeling.pretraining import tokenizer, tokens
from orchestration.thresholds import contamination_test

WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "lagoon"]


@pytest.mark.parametrize(
    ("count", "score", "expected", "z"),
    [(7391, 80.0, 82.5, -5.73), (2651, 89.5, 82.5, 9.56), (9194, 81.6, 82.5, -2.27), (848, 92.2, 82.5, 7.42)],
)
def test_the_z_of_table_51_follows_from_its_scores_and_sizes(count, score, expected, z):
    """HellaSwag, 70B. The table rounds both scores to a tenth of a per cent."""
    deviation = (expected / 100 * (1 - expected / 100)) ** 0.5
    rounding = 0.001 / (deviation / count**0.5)
    assert stage.z_score(score / 100, expected / 100, deviation, count) == pytest.approx(z, abs=rounding)


def test_the_subsets_overlap_as_in_the_paper():
    share = np.array([0.0, 0.1, 0.2, 0.5, 0.79, 0.8, 1.0])
    rows = {row["subset"]: row for row in stage.subsets(share, np.array([0.0, 0, 0, 1, 1, 1, 1]))}
    assert {name: row["questions"] for name, row in rows.items()} == {
        "Clean": 2, "Not clean": 5, "Not dirty": 5, "Dirty": 2,
    }  # fmt: skip
    assert rows["Clean"]["contamination"] == pytest.approx(0.05) and rows["Dirty"]["score"] == 1.0
    assert all(row["expected"] == pytest.approx(4 / 7) for row in rows.values())


def test_an_empty_subset_or_equal_scores_are_no_evidence():
    clean = stage.subsets(np.zeros(50), np.arange(50) % 2)
    assert [row["z"] for row in clean] == [0.0, None, 0.0, None] and clean[3]["score"] is None
    assert all(row["z"] is None for row in stage.subsets(np.arange(50) / 50, np.ones(50)))
    assert stage.affected_lengths([row | {"model": "base_model", "least_length": 10} for row in clean], 2.0) == {}


@pytest.mark.parametrize(
    ("by_length", "wanted"),
    [
        ({10: (-3, 3, -3, 3), 20: (-2.1, 2.1, -2.1, 2.1), 30: (-3, 3, -1.9, 3)}, 20),  # the largest of which all four
        ({10: (3, -3, 3, -3)}, None),  # clean ones are better: no contamination
        ({10: (-2.0, 3, -3, 3)}, None),
        ({10: (-3, 3, -3, None)}, None),
        ({50: (-3, 3, -3, 3)}, 50),
    ],
)
def test_all_four_subsets_must_say_so(by_length, wanted):
    rows = [
        {"model": "base_model", "least_length": least, "subset": subset, "z": z}
        for least, values in by_length.items()
        for subset, z in zip(stage.SIGNS, values, strict=True)
    ]
    assert stage.affected_lengths(rows, 2.0) == ({} if wanted is None else {"base_model": wanted})


def sentence(generator, words: int) -> str:
    return " ".join(generator.choice(WORDS, words))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The tokens of a mixture that holds every second of 80 questions, in two shards."""
    folder, generator = tmp_path_factory.mktemp("contamination"), np.random.default_rng(0)
    questions = [f"Question: {sentence(generator, 60)}?\nAnswer: {sentence(generator, 3)}" for _ in range(80)]
    texts = [f"{sentence(generator, 30)}. {text}\n{sentence(generator, 9)}" for text in questions[::2]]
    tokenizer.train([*questions, *texts], 400).save_pretrained(folder / "tokenizer")
    rows = [
        {"id": f"web:{n}", "source": "web", "title": "", "text": text, "epochs": 1.0} for n, text in enumerate(texts)
    ]
    (folder / "mixture" / "train").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "mixture" / "train" / "00000.parquet")
    inputs = {"mixture": folder / "mixture", "tokenizer": folder / "tokenizer"}

    class Silent:
        def progress(self, *_, **__): ...

    tokens.run(TokensRecipe(seed=1, shard_tokens=2000, title_share=0.0), inputs, folder / "tokens", Silent())
    assert len(list((folder / "tokens" / "train").glob("*.npy"))) > 1
    return folder, questions


def run(made, out, log, base_scores, chat_scores):
    folder, questions = made
    (out / "scores").mkdir(parents=True)
    table = {"benchmark": ["piqa"] * 80, "number": range(80), "text": questions}
    table |= {"base_model_score": base_scores, "chat_model_score": chat_scores}
    pq.write_table(
        pa.table({name: list(column) for name, column in table.items()}), out / "scores" / "questions.parquet"
    )
    inputs = {"tokens": folder / "tokens", "tokenizer": folder / "tokenizer", "benchmark_scores": out / "scores"}
    (out / "made").mkdir()
    return stage.run(contamination_test(), inputs, out / "made", log), out / "made"


def test_a_model_that_learnt_the_contaminated_questions_is_found_and_another_is_not(made, tmp_path, log):
    learnt = [float(number % 2 == 0 or number % 5 == 1) for number in range(80)]
    chance = [float(number % 4 < 2) for number in range(80)]
    metrics, out = run(made, tmp_path, log, learnt, chance)
    (row,) = metrics["overview"]
    assert (row["questions"], row["contaminated"], row["not_clean"], row["dirty"]) == (80, 40, 40, 40)
    assert row["affected"] == {"base_model": 50} and metrics["affected_scores"] == 1
    assert [(one["subset"], one["questions"], one["model"], one["least_length"]) for one in metrics["rows"]] == [
        (subset, 40, "base_model", 50) for subset in stage.SIGNS
    ]
    dirty = metrics["rows"][3]
    assert dirty["score"] == 1.0 and dirty["expected"] == np.mean(learnt) and dirty["contamination"] > 0.95
    assert dirty["z"] == pytest.approx((1 - np.mean(learnt)) / np.std(learnt) * 40**0.5)
    samples = pq.read_table(out / "samples.parquet").to_pylist()
    assert [one["share_50"] > 0.9 for one in samples] == [number % 2 == 0 for number in range(80)]
    assert pq.read_table(out / "subsets.parquet").num_rows == 5 * 2 * 4
    report = (out / "report.md").read_text()
    assert "## Affected scores (Table 51)" in report and "| piqa | 50 | Pretrained | Dirty |" in report


def test_where_nothing_is_significant_the_report_says_so(made, tmp_path, log):
    chance = [float(number % 4 < 2) for number in range(80)]
    metrics, out = run(made, tmp_path, log, chance, [1.0] * 80)
    assert metrics["rows"] == [] and metrics["overview"][0]["affected"] == {} and metrics["dirty_questions"] == 40
    assert "No score is affected" in (out / "report.md").read_text()


def test_no_tokens_is_an_error(made, tmp_path, log):
    folder, _ = made
    run(made, tmp_path, log, [0.0] * 80, [1.0] * 80)
    (tmp_path / "empty").mkdir()
    inputs = {"tokens": tmp_path / "empty", "tokenizer": folder / "tokenizer", "benchmark_scores": tmp_path / "scores"}
    with pytest.raises(ValueError, match="materialize the tokens first"):
        stage.run(contamination_test(), inputs, tmp_path / "made", log)
