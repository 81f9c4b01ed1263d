"""Reward models learn from people's votes alone where people are the annotator; too few votes are an error that says so."""

import dataclasses
import random

import pyarrow.parquet as pq
import pytest

from modeling.core import dialogue_tables
from modeling.evaluation import reward_report
from modeling.rlhf import gates, preferences, reward_model, scoring
from modeling.rlhf.labels import PEOPLE
from modeling.rlhf.pairs import KINDS, PEOPLE_IN_CHAT
from modeling.rlhf.preferences import SCHEMA
from modeling.rlhf.ratings import stage as ratings
from modeling.rlhf.ratings.store import Store
from modeling.rlhf.recipes import RatingsRecipe
from tests.modeling import toy_rlhf
from tests.modeling.rlhf.ratings.test_store import vote
from tests.modeling.rlhf.test_preferences import RECIPE as PAIRS
from tests.modeling.rlhf.test_reward_model import RECIPE as REWARD
from tests.modeling.rlhf.test_reward_model import make_pair
from tests.release.toy_store import EVALUATION

pytestmark = pytest.mark.trains

BY_PEOPLE = dataclasses.replace(PAIRS, annotator=PEOPLE)
RECIPES = {
    "helpfulness": dataclasses.replace(REWARD, own_share=1.0),
    "safety": dataclasses.replace(REWARD, kind="safety", own_share=1.0, safety_loss_weight=1.0),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return toy_rlhf.build(tmp_path_factory.mktemp("world"), prompts=8)


@pytest.fixture
def voted(world, tmp_path, monkeypatch, log):
    """The inputs of a round's reward models after `count` votes on answers of each kind."""
    monkeypatch.setenv("CRIA_RATINGS", f"sqlite:///{tmp_path / 'ratings.sqlite'}")

    def inputs(count: int, kinds=KINDS) -> dict:
        rng, store = random.Random(0), Store.here()
        for pair in [make_pair(number, rng, kind) for kind in kinds for number in range(count)]:
            store.add(vote(messages=pair["messages"], answer_a=pair["chosen"], answer_b=pair["rejected"],
                           degree=pair["degree"], safe_b=pair["rejected_safe"]))  # fmt: skip
        found = {"chat": world["policy"]} | {role: tmp_path / role for role in ("ratings", "preferences_1")}
        for role in ("ratings", "preferences_1"):
            found[role].mkdir()
        votes, which = store.batches("tiny", 10)
        ratings.run(RatingsRecipe(10, 0.25, "tiny", votes, which), {}, found["ratings"], log)
        round_inputs = {"chat": world["policy"], "other": world["policy"], "prompts": world["prompts"]}
        metrics = preferences.run(BY_PEOPLE, round_inputs, found["preferences_1"], log)
        assert metrics["pairs"] == metrics["prompts"] == 0
        return found

    return inputs


def test_a_round_has_no_pairs_of_its_own(voted):
    folder = voted(0)["preferences_1"]
    table = pq.read_table(folder / "pairs.parquet")
    assert table.num_rows == 0 and table.schema.equals(SCHEMA)
    assert gates.pairs_are_sound(folder, {}, BY_PEOPLE)[0]
    dialogue_tables.write_rows([make_pair(1, random.Random(0), "safety")], SCHEMA, folder / "pairs.parquet")
    assert not gates.pairs_are_sound(folder, {}, BY_PEOPLE)[0], "a pair that no person judged"


def test_both_reward_models_learn_what_people_prefer(voted, tmp_path, log):
    inputs = voted(160)
    models = {}
    for kind, recipe in RECIPES.items():
        models[kind] = tmp_path / kind
        models[kind].mkdir()
        metrics = reward_model.run(recipe, inputs, models[kind], log)
        assert metrics["pairs_voted"] == metrics["pairs_train"] == metrics["pairs_own"] > 40
        assert metrics["accuracy"] > 0.8 and metrics["accuracy_votes"] > 0.8 and metrics["pairs_voted_test"] > 20
        assert gates.ranks_pairs(models[kind], inputs, recipe)[0]
        ask = {"role": "user", "content": "Which colours do you see now? 3"}
        liked, other = {"helpfulness": ("blue", "red"), "safety": ("green", "red")}[kind]
        texts = [" ".join([colour] * 3 + ["white"]) for colour in (liked, other)]
        scores = scoring.score(
            *scoring.load(models[kind]), [[ask, {"role": "assistant", "content": text}] for text in texts]
        )
        assert scores[0] > scores[1]
    reports = {f"{kind}_reward_model_1": folder for kind, folder in models.items()}
    (tmp_path / "report").mkdir()
    held_out = {role: inputs[role] for role in ("ratings", "preferences_1")}
    figures = reward_report.run(EVALUATION, held_out | reports, tmp_path / "report", log)
    assert figures["pairs_test"] > 20 and figures["helpfulness_model_on_helpfulness"] > 0.8
    assert PEOPLE_IN_CHAT in (tmp_path / "report" / "report.md").read_text()
    rows = pq.read_table(tmp_path / "report" / "accuracy.parquet").to_pylist()
    keys = [tuple(row[name] for name in ("model", "round", "pairs", "pairs_round", "degree")) for row in rows]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("count, kinds, trained, told", [
    (0, KINDS, "helpfulness", "0 pairs that people judged"),
    (5, KINDS, "helpfulness", r"[1-5] pairs that people judged can train the helpfulness reward model; it needs 8, a batch"),
    (20, ("helpfulness",), "safety", "0 pairs .* safety reward model.* mark unsafe answers, then run again"),
])  # fmt: skip
def test_too_few_votes_are_an_error_that_says_what_to_do(voted, tmp_path, log, count, kinds, trained, told):
    with pytest.raises(ValueError, match=told):
        reward_model.run(RECIPES[trained], voted(count, kinds), tmp_path, log)


def test_pairs_of_a_round_need_no_votes(voted, tmp_path, log):
    inputs = voted(0)
    rows = [make_pair(number, random.Random(number), "helpfulness") for number in range(7)]
    dialogue_tables.write_rows(rows, SCHEMA, inputs["preferences_1"] / "pairs.parquet")
    metrics = reward_model.run(dataclasses.replace(RECIPES["helpfulness"], epochs=1.0), inputs, tmp_path, log)
    assert (metrics["pairs_train"], metrics["pairs_voted"]) == (5, 0)
