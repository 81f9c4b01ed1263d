"""A release becomes current only if it is not significantly worse; going back is one call; kept ones are complete."""

import datetime
import random
import shutil

import pyarrow.parquet as pq
import pytest

from modeling.core import dialogue_tables
from modeling.evaluation.bits_per_byte import DOCUMENTS_SCHEMA
from modeling.evaluation.scored_answers import SCHEMA
from release import bundle as bundles
from release import promotion
from release.gallery import RELEASED, Gallery
from release.promotion import PromotionError
from tests.release.test_gallery import LISTED

DAY = datetime.date(2026, 12, 1)
PROMPTS = 120


def scored(path, helpful=0.0, unsafe=0.1, refused=0.05, obeyed=0.3, seed=0, first=0, version="Chat"):
    """A scored.parquet: so many prompts of each kind, from number `first` on, with these means and shares."""
    draw = random.Random(seed)
    rows = []
    for number in range(first, first + PROMPTS):
        for kind in ("helpfulness", "harmless", "safety"):
            rows.append({
                "version": version, "prompt_id": f"{kind}{number}", "kind": kind, "setting": kind, "category": "x",
                "control": False, "temperature": 0.5, "reward": None, "violation": 0.0, "refusal": 0.0, "fluency": 0.0,
                "helpfulness": helpful + draw.gauss(0, 1), "rule_unsafe": kind == "safety" and draw.random() < unsafe,
                "rule_refuses": draw.random() < refused, "rule_declines": False,
                "obeyed": draw.random() < obeyed if kind == "helpfulness" else None, "words": 40,
            })  # fmt: skip
    dialogue_tables.write_rows(rows, SCHEMA, path)
    return path


def measured(path, bits=1.0, seed=0, first=0):
    """A documents.parquet: bits per byte of so many documents, from number `first` on, around this mean."""
    draw = random.Random(seed)
    rows = [
        {"text": f"hash{number}", "bits_per_byte": bits + draw.gauss(0, 0.05)}
        for number in range(first, first + PROMPTS)
    ]
    dialogue_tables.write_rows(rows, DOCUMENTS_SCHEMA, path)
    return path


def evaluation(folder, judge="j", bits=1.0, seed=0, first=0, **shares):
    return promotion.Evaluation(
        scored(folder / "scored.parquet", seed=seed, first=first, **shares),
        measured(folder / "documents.parquet", bits, seed, first),
        judge,
    )


@pytest.fixture
def shop(bundle, tmp_path):
    """promote(content, judge, day, **shares): an outcome in `shop.releases`."""

    def promote(content, judge="j", day=DAY, **shares):
        return promotion.promote(bundle, content, evaluation(tmp_path, judge, **shares), promote.releases, day)

    promote.releases = tmp_path / "releases" / "tiny"
    return promote


def test_the_first_release_is_current_and_complete(shop, bundle):
    outcome = shop("a" * 64)
    assert (outcome.name, outcome.current, outcome.why) == ("2026-12-01", True, "the first release")
    kept = shop.releases / promotion.CURRENT / "bundle"
    assert bundles.read(kept).versions[0].content == bundles.read(bundle).versions[0].content
    assert (kept / "model.safetensors").samefile(bundle / "model.safetensors"), "a link, which takes no space"
    assert set(pq.read_table(shop.releases / outcome.name / "scored.parquet")["version"].to_pylist()) == {"Chat"}
    again = shop("a" * 64, unsafe=1.0)
    assert again.name == outcome.name and again.current and "before" in again.why


@pytest.mark.parametrize(
    ("worse", "told"),
    [({"helpful": -1.0}, "helpfulness"), ({"unsafe": 0.5}, "violations"), ({"refused": 0.4}, "refused"),
     ({"obeyed": 0.0}, "obeyed"), ({"bits": 1.1}, "bits per byte of the base model")],
)  # fmt: skip
def test_a_release_that_is_significantly_worse_in_one_measure_stays_a_candidate(shop, worse, told):
    shop("a" * 64)
    outcome = shop("b" * 64, seed=1, **worse)
    assert not outcome.current and told in outcome.why and "significantly worse than 2026-12-01" in outcome.why
    assert promotion.current(shop.releases) == "2026-12-01" and promotion.names(shop.releases)[-1] == outcome.name
    again = shop("b" * 64)
    assert not again.current and told in again.why, "a candidate is not judged again"
    promotion.point(shop.releases, outcome.name, "by hand")
    assert promotion.current(shop.releases) == outcome.name


def test_one_that_is_as_good_or_better_becomes_current(shop):
    shop("a" * 64)
    same = shop("b" * 64, seed=1)
    assert same.current and same.name == "2026-12-01.2" and "not significantly worse" in same.why
    assert "bits per byte" in same.why
    better = shop("c" * 64, seed=2, helpful=1.0, unsafe=0.0, day=datetime.date(2026, 11, 1))
    assert better.current and better.name == "2026-12-01.3", "newer than all, whatever the clock says"


def test_another_judge_is_not_compared_and_without_common_prompts_a_person_decides(shop):
    shop("a" * 64)
    other = shop("b" * 64, judge="k", seed=1, helpful=-3.0)
    assert other.current and "helpfulness" not in other.why
    apart = shop("c" * 64, judge="k", seed=2, first=PROMPTS)
    assert not apart.current and "no common prompts" in apart.why


def test_a_release_that_was_kept_without_bits_per_byte_is_compared_in_the_rest(shop):
    shop("a" * 64)
    (shop.releases / "2026-12-01" / promotion.DOCUMENTS).unlink()
    outcome = shop("b" * 64, seed=1, bits=9.0)
    assert outcome.current and "bits" not in outcome.why and "violations" in outcome.why


def test_going_back_goes_back_one_release_at_a_time(shop):
    for number, letter in enumerate("abc"):
        assert shop(letter * 64, seed=number).current
    assert promotion.roll_back(shop.releases) == "2026-12-01.2"
    assert promotion.current(shop.releases) == "2026-12-01.2"
    assert promotion.roll_back(shop.releases) == "2026-12-01"
    with pytest.raises(PromotionError, match="no earlier release"):
        promotion.roll_back(shop.releases)
    promotion.point(shop.releases, "2026-12-01.3", "by hand")
    assert promotion.roll_back(shop.releases) == "2026-12-01"
    with pytest.raises(PromotionError, match="no release '2026-12-09'"):
        promotion.point(shop.releases, "2026-12-09", "x")


def test_old_releases_go_but_never_the_current_one_or_the_one_before(shop):
    shop("a" * 64)
    shop("b" * 64, seed=1)
    for number in range(8):
        assert not shop(f"{number}" * 64, seed=number, unsafe=0.9).current
    names = promotion.names(shop.releases)
    assert names[:2] == ["2026-12-01", "2026-12-01.2"] and len(names) == 2 + promotion.KEPT
    assert promotion.current(shop.releases) == "2026-12-01.2"


def test_a_kill_while_a_release_is_kept_leaves_nothing_behind(shop, monkeypatch):
    shop("a" * 64)

    def kill(*_):
        raise KeyboardInterrupt

    for place in ("write_json", "point"):
        with monkeypatch.context() as patch:
            patch.setattr(promotion, place, kill)
            with pytest.raises(KeyboardInterrupt):
                shop("b" * 64, seed=1)
    outcome = shop("b" * 64, seed=1)
    assert outcome.current and promotion.current(shop.releases) == outcome.name
    assert len(promotion.names(shop.releases)) == 2


def test_the_chat_opens_with_the_current_release_while_the_store_holds_a_candidate(store, bundle, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(store.folder("chat_model", "tiny"), folder / "chat_model")
    gallery = Gallery(folder / "bundle", folder, LISTED)
    releases = tmp_path / "releases" / "tiny"
    promotion.promote(bundle, "a" * 64, evaluation(tmp_path), releases, DAY)
    assert [version.name for version in gallery.now().versions] == ["Chat"], "it is the same model"
    listed = releases / "2026-12-01" / "bundle" / bundles.VERSIONS
    content = bundles.read(bundle).versions[0].content
    text = listed.read_text().replace(content, "d" * 64)
    listed.unlink()  # a link to the bundle
    listed.write_text(text)
    shown = gallery.now()
    assert [version.name for version in shown.versions] == [RELEASED, "Chat"]
    assert shown.offered[0].title == "Release 2026-12-01" and shown.temperature(RELEASED) is not None
