import dataclasses
import itertools
import statistics

import pyarrow.parquet as pq
import pytest

from modeling.core import resumable_generation
from modeling.core.recipes import SamplingRecipe
from modeling.rlhf import best_of_n, comparison, rejection_sampling, rewards, scoring
from modeling.rlhf.recipes import RejectionRecipe
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains

RECIPE = RejectionRecipe(
    round=1,
    prompts=20,
    safety_share=0.5,
    samples=6,
    sampling=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=12, seed=5),
    safety_threshold=0.15,
    least_safety=0.0,
    earlier_rounds=False,
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    world = toy_rlhf.build(tmp_path_factory.mktemp("world"), prompts=60)
    return {"chat": world.pop("policy"), **world}


def rows_of(path):
    return pq.read_table(path).to_pylist()


def test_the_best_answer_by_the_papers_rule_is_kept(inputs, tmp_path, log):
    metrics = rejection_sampling.run(RECIPE, inputs, tmp_path, log)
    candidates, samples = rows_of(tmp_path / "candidates.parquet"), rows_of(tmp_path / "samples.parquet")
    assert len(candidates) == metrics["candidates"] == 120 and len(samples) == metrics["samples"] == 20
    for prompt_id, group in itertools.groupby(candidates, key=lambda row: row["prompt_id"]):
        group = list(group)
        assert sorted(row["rank"] for row in group) == list(range(6))
        for row in group:
            by_safety = row["kind"] == "safety" or row["safety"] < 0.15
            assert row["reward"] == pytest.approx(row["safety" if by_safety else "helpfulness"], abs=1e-6)
        finished = [row for row in group if row["ended"]] or group
        best = max(finished, key=lambda row: row["reward"])
        (kept,) = [row for row in samples if row["prompt_id"] == prompt_id]
        assert kept["reward"] == best["reward"] and kept["id"] == f"v1:{prompt_id}" and kept["round"] == 1
        answers = {row["response"] for row in finished if row["reward"] == best["reward"]}
        assert kept["messages"][-1]["role"] == "assistant" and kept["messages"][-1]["content"] in answers
    assert metrics["reward_top"] > metrics["reward_mean"]
    # The helpfulness model likes "blue", the safety model "green": what is kept says more of it.
    for kind, word in (("helpfulness", "blue"), ("safety", "green")):
        kept = [row["messages"][-1]["content"].split().count(word) for row in samples if row["kind"] == kind]
        drawn = [row["response"].split().count(word) for row in candidates if row["kind"] == kind]
        assert statistics.fmean(kept) > 1.25 * statistics.fmean(drawn)
    assert (tmp_path / "plots" / "best_of_n.png").stat().st_size > 5000
    assert "**Best**" in (tmp_path / "examples.md").read_text()


def test_scores_are_those_of_the_reward_models(inputs, tmp_path, log):
    rejection_sampling.run(dataclasses.replace(RECIPE, prompts=4), inputs, tmp_path, log)
    row = rows_of(tmp_path / "candidates.parquet")[0]
    dialogue = [*resumable_generation.plain(row["messages"]), {"role": "assistant", "content": row["response"]}]
    for kind in ("helpfulness", "safety"):
        score = scoring.score(*scoring.load(inputs[f"{kind}_reward_model"]), [dialogue])
        assert row[kind] == pytest.approx(scoring.sigmoid(score).item(), abs=1e-5)


def test_a_prompt_without_a_safe_answer_is_left_out_and_counted(inputs, tmp_path, log):
    for folder in ("all", "safe"):
        (tmp_path / folder).mkdir()
    everything = dataclasses.replace(RECIPE, samples=1)  # one draw: often an unsafe one
    rejection_sampling.run(everything, inputs, tmp_path / "all", log)
    known = rows_of(tmp_path / "all" / "samples.parquet")
    rewards = [row["reward"] for row in known if row["kind"] == "safety"]
    bar = (min(rewards) + max(rewards)) / 2
    metrics = rejection_sampling.run(dataclasses.replace(everything, least_safety=bar), inputs, tmp_path / "safe", log)
    kept = rows_of(tmp_path / "safe" / "samples.parquet")
    assert kept == [row for row in known if row["kind"] != "safety" or row["reward"] >= bar]
    assert metrics["prompts_without_a_safe_answer"] == len(known) - len(kept) > 0
    assert len(rows_of(tmp_path / "safe" / "candidates.parquet")) == metrics["candidates"] == 20


def obeying(fault: str, ended: bool, reward: float) -> dict:
    return {"fault": fault, "ended": ended, "reward": reward}


def test_an_answer_with_a_fault_is_never_the_best_of_others():
    ranked = sorted(
        [obeying("refuses", True, 0.9), obeying("", True, 0.1), obeying("", True, 0.2), obeying("", False, 0.8)],
        key=rejection_sampling.order,
    )
    assert [row["reward"] for row in ranked] == [0.2, 0.1, 0.8, 0.9]


def test_a_prompt_where_every_answer_has_a_fault_is_left_out_and_counted(inputs, tmp_path, log, monkeypatch):
    monkeypatch.setattr(comparison, "refuses", lambda messages, answer: "blue" in answer)
    metrics = rejection_sampling.run(dataclasses.replace(RECIPE, samples=2), inputs, tmp_path, log)
    candidates, samples = rows_of(tmp_path / "candidates.parquet"), rows_of(tmp_path / "samples.parquet")
    faulty = {row["prompt_id"] for row in candidates if row["rank"] == 0 and row["fault"]}
    assert metrics["prompts_where_every_answer_refuses"] == len(faulty) > 0
    assert not faulty & {row["prompt_id"] for row in samples} and len(samples) == 20 - len(faulty)
    assert all("blue" in row["response"] for row in candidates if row["prompt_id"] in faulty)


def test_earlier_rounds_come_in_and_are_judged_anew(inputs, tmp_path, log):
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    # Every round asks all 60 prompts, so each has a sample of every round.
    everything = dataclasses.replace(RECIPE, prompts=60, samples=2)
    rejection_sampling.run(everything, inputs, folders[0], log)
    second = dataclasses.replace(everything, round=2, earlier_rounds=True)
    metrics = rejection_sampling.run(second, inputs | {"earlier_1": folders[0]}, folders[1], log)
    first_best = {row["prompt_id"]: row for row in rows_of(folders[0] / "samples.parquet")}
    second_top = {row["prompt_id"]: row for row in rows_of(folders[1] / "candidates.parquet") if row["rank"] == 0}
    merged = rows_of(folders[1] / "samples.parquet")
    assert len(merged) == 60 and {row["round"] for row in merged} == {1, 2}
    assert metrics["samples_earlier_rounds"] == sum(row["round"] == 1 for row in merged)
    for row in merged:
        both = first_best[row["prompt_id"]], second_top[row["prompt_id"]]
        best = max(both, key=lambda one: (one["ended"], one["reward"]))  # a finished answer before one that was cut off
        assert row["reward"] == pytest.approx(best["reward"], abs=1e-6)
    # Other reward models: old samples get their scores, not those of their own time.
    swapped = inputs | {
        "helpfulness_reward_model": inputs["safety_reward_model"],
        "safety_reward_model": inputs["helpfulness_reward_model"],
        "earlier_1": folders[0],
        "earlier_2": folders[1],
    }
    rejection_sampling.run(dataclasses.replace(second, round=3, prompts=2), swapped, folders[2], log)
    judged = rows_of(folders[2] / "samples.parquet")
    assert len(judged) == 60 and len({row["id"] for row in judged}) == 60
    scores = scoring.score(*scoring.load(inputs["helpfulness_reward_model"]), [row["messages"] for row in judged])
    for row, score in zip(judged, scoring.sigmoid(scores).tolist(), strict=True):
        if row["kind"] == "safety":
            assert row["reward"] == pytest.approx(score, abs=1e-5)


def test_resumes_after_a_kill_with_the_same_bytes(inputs, tmp_path, log, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    monkeypatch.setattr(resumable_generation, "CHUNK_ANSWERS", 36)
    monkeypatch.setattr(rewards, "SCORE_CHUNK", 50)
    rejection_sampling.run(RECIPE, inputs, whole, log)

    class KilledError(Exception):
        pass

    original, calls = scoring.score, []

    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KilledError
        return original(*args, **kwargs)

    monkeypatch.setattr(scoring, "score", dies)
    with pytest.raises(KilledError):
        rejection_sampling.run(RECIPE, inputs, parts, log)
    rejection_sampling.run(RECIPE, inputs, parts, log)
    assert len(calls) == 2 + 5  # three chunks a model, one was there
    for name in ("candidates.parquet", "samples.parquet", "plots/best_of_n.png"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_best_of_n_by_hand():
    # Of {1, 2, 4}: pairs have maxima 2, 4, 4 and medians 1.5, 2.5, 3.
    first, second, third = best_of_n.curve([[4, 1, 2]])
    assert first == {"n": 1, "max": pytest.approx(7 / 3, abs=1e-6), "median": pytest.approx(7 / 3, abs=1e-6)}
    assert second == {"n": 2, "max": pytest.approx(10 / 3, abs=1e-6), "median": pytest.approx(7 / 3, abs=1e-6)}
    assert third == {"n": 3, "max": 4, "median": 2}


def test_best_of_n_is_the_mean_over_all_subsets():
    groups = [[0.3, 0.9, 0.1, 0.5, 0.5], [0.2, 0.8, 0.7, 0.0, 0.4]]
    for point in best_of_n.curve(groups):
        subsets = [s for group in groups for s in itertools.combinations(group, point["n"])]
        assert point["max"] == pytest.approx(statistics.fmean(map(max, subsets)), abs=1e-6)
        assert point["median"] == pytest.approx(statistics.fmean(map(statistics.median, subsets)), abs=1e-6)


def test_best_per_prompt_and_ties():
    def row(name: str, reward: float, ended: bool = True) -> dict:
        return {"prompt_id": "p", "reward": reward, "ended": ended, "fault": "", "id": name}

    rows = [row("new", 0.5), row("old", 0.5)]

    def best(*more: dict) -> str:
        (kept,) = rejection_sampling.best_per_prompt([*rows, *more])
        return kept["id"]

    assert best() == "new" and best(row("x", 0.6)) == "x"
    assert best(row("cut off", 0.9, ended=False)) == "new"  # it would teach to stop in the middle
    assert rejection_sampling.best_per_prompt([row("a", 0.1, False), row("b", 0.2, False)])[0]["id"] == "b"
