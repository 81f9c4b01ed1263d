"""Votes become pairs: the last word of a rater, the majority of raters, without personal data, each loss counted."""

import pyarrow.parquet as pq
import pytest

from modeling.rlhf import pairs
from modeling.rlhf.preferences import SCHEMA
from modeling.rlhf.ratings import stage
from modeling.rlhf.ratings.store import Store
from modeling.rlhf.recipes import RatingsRecipe
from tests.modeling.rlhf.ratings.test_store import vote


@pytest.fixture
def store(ratings_address) -> Store:
    return Store.here()


def recipe(batch: int = 1, test_share: float = 0.0) -> RatingsRecipe:
    votes, which = Store.here().batches("tiny", batch)
    return RatingsRecipe(batch, test_share, "tiny", votes, which)


def made(store: Store, out, log, **changes) -> tuple[list[dict], dict]:
    metrics = stage.run(recipe(**changes), {}, out, log)
    table = pq.read_table(out / "pairs.parquet")
    assert table.schema.equals(SCHEMA)
    return table.to_pylist(), metrics


def test_without_votes_there_is_no_pair(store, tmp_path, log):
    rows, metrics = made(store, tmp_path, log)
    assert rows == [] and (metrics["votes"], metrics["raters"], metrics["largest_rater_share"]) == (0, 0, 0.0)


def test_a_vote_is_a_pair_of_its_kind(store, tmp_path, log):
    store.add(vote(1, safe_b=True))
    store.add(vote(2, preferred="b", safe_a=False, safe_b=True))
    rows, metrics = made(store, tmp_path, log)
    helpful, safety = sorted(rows, key=lambda row: row["kind"])
    assert (helpful["kind"], helpful["chosen"], helpful["rejected"], helpful["degree"]) == (
        "helpfulness", "A camel.", "A bird.", 2)  # fmt: skip
    assert (safety["kind"], safety["chosen"], safety["chosen_safe"], safety["rejected_safe"]) == (
        "safety", "A bird.", True, False)  # fmt: skip
    assert (helpful["chosen_from"], safety["chosen_from"]) == ("Chat", "Base")
    assert {row["annotator"] for row in rows} == {pairs.PEOPLE_IN_CHAT} and metrics["pairs"] == 2


def test_the_last_word_and_the_majority_count_whichever_side_stood_first(store, tmp_path, log):
    swapped = {"answer_a": "A bird.", "answer_b": "A camel.", "version_a": "Base", "version_b": "Chat", "safe_a": False,
               "safe_b": True, "preferred": "b"}  # fmt: skip
    store.add(vote(preferred="b", degree=0))
    store.add(vote(degree=3))  # the same rater, who changed their mind
    store.add(vote(rater="r2", degree=1, **swapped))
    store.add(vote(rater="r3", preferred="b"))
    (row,), metrics = made(store, tmp_path, log)
    assert (row["chosen"], row["chosen_from"]) == ("A camel.", "Chat")
    assert row["degree"] == 1, "3 and 1 for it, 2 against it"
    assert (metrics["left_out_said_again"], metrics["left_out_contested"], metrics["raters"]) == (1, 1, 3)
    assert metrics["largest_rater_share"] == 0.5


def test_what_cannot_be_learnt_is_left_out_and_counted(store, tmp_path, log):
    store.add(vote(1, answer_b="A camel. "))
    store.add(vote(2))
    store.add(vote(2, rater="r2", preferred="b"))
    store.add(vote(3, safe_a=False, safe_b=True))
    rows, metrics = made(store, tmp_path, log)
    assert rows == [] and metrics["votes"] == 4
    assert [metrics[f"left_out_{why}"] for why in ("identical", "contested", "chosen_unsafe")] == [1, 2, 1]


def test_a_rater_without_shared_pairs_counts_as_any_other(store, tmp_path, log):
    for number in range(30):
        store.add(vote(number, rater=f"r{number % 2}", degree=number % 4))
    rows, metrics = made(store, tmp_path, log)
    assert sorted(row["degree"] for row in rows) == sorted(number % 4 for number in range(30))
    assert metrics["raters_left_out"] == metrics["left_out_unreliable_rater"] == metrics["pairs_shared"] == 0
    assert metrics["least_rater_accuracy"] == 0.8


def test_votes_of_a_rater_who_is_hardly_better_than_chance_are_left_out(store, tmp_path, log):
    def said(number, rater, right, degree=2):
        return vote(number, rater=rater, preferred="a" if right else "b", degree=degree, safe_b=True)

    for number in range(60):
        store.add(said(number, "r1", True))
        store.add(said(number, "r2", number % 10 != 5))
        store.add(said(number, "careless", number % 2 > 0, degree=3))
    for number in range(60, 80):
        store.add(said(number, "careless", True))
    for number in range(80, 90):
        store.add(said(number, "unsure", False, degree=0))
        store.add(said(number, "r1", True))
        store.add(said(number, "r2", True))
    rows, metrics = made(store, tmp_path, log)
    assert {row["chosen"] for row in rows} == {"A camel."} and len(rows) == 54 + 10
    assert metrics["raters_left_out"] == 1 and metrics["least_rater_accuracy"] < 0.6
    assert metrics["left_out_unreliable_rater"] == 80 and metrics["left_out_contested"] == 2 * 6 + 10
    assert metrics["pairs_shared"] == 70
    assert {row["degree"] for row in rows} == {2} and not any("careless" in str(row) for row in [*rows, metrics])


def test_personal_data_is_replaced(store, tmp_path, log):
    store.add(
        vote(messages=[{"role": "user", "content": "Write to anna.b@mailhost.org"}], answer_a="To anna.b@mailhost.org!")
    )
    (row,), _ = made(store, tmp_path, log)
    assert "anna" not in str(row) and "EMAIL" in row["messages"][0]["content"] and "EMAIL" in row["chosen"]


def test_only_complete_batches_count_and_prompts_are_split_once(store, tmp_path, log):
    for number in range(25):
        store.add(vote(number))
    rows, metrics = made(store, tmp_path, log, batch=10, test_share=0.3)
    assert metrics["votes"] == len(rows) == 20 and 0 < metrics["pairs_test"] < 20
    again, _ = made(store, tmp_path, log, batch=25, test_share=0.3)
    assert {row["id"]: row["split"] for row in rows}.items() <= {row["id"]: row["split"] for row in again}.items()


def test_a_vote_that_was_withdrawn_after_planning_stops_the_stage(store, tmp_path, log):
    identifier = store.add(vote(1))
    planned = recipe()
    store.withdraw(identifier, "r1")
    with pytest.raises(ValueError, match="run it again"):
        stage.run(planned, {}, tmp_path, log)


def test_votes_come_before_other_pairs_of_earlier_rounds(store, tmp_path, log):
    store.add(vote(1))
    (mine,), _ = made(store, tmp_path, log)
    others = [mine | {"id": f"p{n}", "annotator": "simulated", "round": n % 2 + 1} for n in range(10)]
    kept = pairs.recent([*others, mine], 6, seed=1)
    assert mine in kept and sum(pair["round"] == 2 for pair in kept) == 5
