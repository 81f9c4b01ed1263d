"""The samples beside a threshold are the documents closest to it, on the side where they belong."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_cleaning.filters.quality import RULES
from data_cleaning.filters.text_measures import Measures
from data_cleaning.report import counts, measuring, thresholds
from data_cleaning.report.thresholds import BELOW, LEAST, MOST, Threshold
from orchestration.thresholds import profiles
from tests.data_cleaning.report import steps
from tests.data_cleaning.samples import licences, manual, table

TEXTS = [*manual(), *licences(), "a b c", "- x\n" * 40, "word " * 60, "#tag " * 80]


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile.name)
def test_the_limits_are_those_of_the_quality_rules(profile):
    """A document breaks a rule exactly where its value is outside of the limits."""
    limits, judged = thresholds.quality_limits(profile), set()
    measures = Measures(pa.array(TEXTS), pa.array(["en"] * len(TEXTS)))
    for rule in RULES:
        for reason, values, broken in rule(measures, profile):
            if reason == "phrase":
                continue
            least, most = limits[reason]
            outside = np.zeros(len(TEXTS), bool)
            outside |= values < least if least is not None else False
            outside |= values > most if most is not None else False
            np.testing.assert_array_equal(outside, broken, err_msg=reason)
            judged.add(reason)
    assert judged == limits.keys()


def with_words(*numbers):
    texts = [" ".join(f"the{place}" for place in range(number)) for number in numbers]
    return table(texts, profile="dialogue").append_column("value", pa.array(numbers, pa.float64()))


def test_the_closest_on_either_side():
    recipe = steps.recipe(samples_per_side=2)
    dropped = with_words(3, 19, 11, 18, 5)
    dropped = dropped.append_column("reason", pa.array(["too_few_words"] * 5)).append_column(
        "detail", pa.nulls(5, pa.string())
    )
    ((threshold, entries),) = thresholds.closest_dropped(recipe, dropped)
    assert threshold == Threshold("too_few_words", "dialogue", LEAST, 20)
    assert [shown["value"] for *_, shown in entries] == [19, 18]
    ((same, entries),) = thresholds.closest_kept(recipe, with_words(40, 21, 900, 20, 33), [threshold], 1.0)
    assert same == threshold and [shown["value"] for *_, shown in entries] == [20, 21]


def test_a_share_of_the_kept_documents_is_chosen_by_their_ids():
    rows = with_words(*range(20, 120))
    threshold = Threshold("too_few_words", "dialogue", LEAST, 20)
    recipe = steps.recipe(samples_per_side=1000)
    ((_, entries),) = thresholds.closest_kept(recipe, rows, [threshold], 0.3)
    chosen = {shown["id"] for *_, shown in entries}
    assert (
        chosen == {name for name in rows["id"].to_pylist() if counts.order(name) < 0.3 * 2**64}
        and 10 < len(chosen) < 60
    )


def test_of_equal_distances_the_hash_of_the_id_decides_whatever_the_shards():
    rows = with_words(*([20] * 50))
    threshold = Threshold("too_few_words", "dialogue", LEAST, 20)
    recipe = steps.recipe(samples_per_side=3)
    whole = thresholds.closest_kept(recipe, rows, [threshold], 1.0)
    parts = [thresholds.closest_kept(recipe, rows.slice(start, 7), [threshold], 1.0) for start in range(0, 50, 7)]
    expected = sorted(rows["id"].to_pylist(), key=counts.order)[:3]
    for merged in (thresholds.merged([whole], 3), thresholds.merged(parts[::-1], 3)):
        assert [shown["id"] for shown in merged[threshold]] == expected


def test_both_bounds_of_one_rule_are_apart():
    recipe = steps.recipe()
    rows = table(["x", "y"], profile="web").append_column("value", pa.array([1.2, 14.0]))
    rows = rows.append_column("reason", pa.array(["word_length"] * 2)).append_column("detail", pa.nulls(2, pa.string()))
    found = {(one.bound, one.limit): entries for one, entries in thresholds.closest_dropped(recipe, rows)}
    assert {key: [shown["value"] for *_, shown in entries] for key, entries in found.items()} == {
        (LEAST, 3.0): [1.2], (MOST, 10.0): [14.0]
    }  # fmt: skip


def test_a_value_at_the_limit_is_on_the_side_on_which_its_rule_puts_it():
    """A near-duplicate is dropped from the limit on, a repetition only above it."""
    recipe = steps.recipe()
    rows = table(["x", "y"], profile="web").append_column("value", pa.array([recipe.dedup.min_jaccard, 0.2]))
    rows = rows.append_column("reason", pa.array(["near_duplicate", "top_2_gram"]))
    found = thresholds.closest_dropped(recipe, rows.append_column("detail", pa.nulls(2, pa.string())))
    assert [(one.reason, one.bound, len(entries)) for one, entries in found] == [
        ("near_duplicate", BELOW, 1), ("top_2_gram", MOST, 0)
    ]  # fmt: skip


def test_an_overlap_is_the_share_of_the_part_that_a_document_covers(tmp_path):
    (tmp_path / "spans").mkdir()
    spans = [("m:0", 0, 0, 11, False), ("m:0", 0, 5, 11, False), ("m:0", 1, 0, 12, False),
             ("m:1", 0, 0, 90, True)]  # fmt: skip
    columns = list(zip(*spans, strict=True))
    pq.write_table(
        pa.table(columns, names=["id", "sample", "start", "length", "dropped"]), tmp_path / "spans" / "s.parquet"
    )
    pq.write_table(pa.table({"words": [100, 200], "passage_words": [0, 10]}), tmp_path / "samples.parquet")
    found = measuring.overlaps(tmp_path, "s.parquet", ["m:0", "m:1"])
    wanted = {"contaminated_question": 0.16, "contaminated_passage": 1.0}
    assert {reason: values[0] for reason, values in found.items()} == pytest.approx(wanted)
    assert all(np.isnan(values[1]) for values in found.values())


def test_a_profile_that_is_gone_has_no_threshold():
    recipe = steps.recipe()
    none = dataclasses.replace(recipe, quality=dataclasses.replace(recipe.quality, profiles=()))
    assert thresholds.of_reason(none, "too_few_words", "web") == []
    assert thresholds.of_reason(none, "other_language", "web") == []
