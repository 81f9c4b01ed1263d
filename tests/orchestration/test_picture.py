"""The README's picture shows every declared asset once, and the arrows that the declarations imply."""

import dataclasses

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from assets import STAGES
from orchestration import outline, picture
from tests.conftest import ROOT

ALL = list(STAGES.values())


@pytest.fixture(scope="module")
def drawn():
    """The picture's axes, laid out."""
    figure = picture.figure(ALL)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure.axes[0], canvas.get_renderer()


def corners(artist, renderer):
    return artist.get_window_extent(renderer).get_points()


def within(inner, outer):
    return (outer[0] <= inner[0]).all() and (inner[1] <= outer[1]).all()


def test_groups_are_read_in_the_order_of_the_paper():
    order = ["corpus", "pretraining", "finetuning", "rlhf", "safety", "evaluation", "release"]
    assert outline.arrows(ALL) == set(zip(order, order[1:], strict=False))


def test_an_arrow_that_a_longer_path_implies_is_left_out():
    edges = {("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("a", "d"), ("a", "e")}
    assert outline.reduced(edges) == {("a", "b"), ("b", "c"), ("c", "d"), ("a", "e")}


def test_a_round_is_drawn_once_and_leads_back_to_its_beginning():
    rlhf = outline.families(ALL)["rlhf"]
    assert outline.columns(rlhf) == [
        ["preferences"],
        ["helpfulness reward model", "safety reward model"],
        ["rejection samples"],
        ["policy"],
        ["ghost dialogues", "ppo policy"],
    ]
    assert ("policy", "preferences") in outline.repeats(rlhf)
    assert outline.rounds(rlhf) == ["V1", "V2", "V3", "V4", "V5"] and outline.rounds(rlhf, "ppo policy") == ["V5"]


def test_every_asset_is_named_once(drawn):
    texts = [text.get_text() for text in drawn[0].texts]
    for name in outline.labels(ALL):
        assert texts.count(name) == 1, name
    assert {"V1", "V2", "V3", "V4", "V5"} <= set(texts)


def test_no_text_leaves_its_box_or_touches_another(drawn):
    axes, renderer = drawn
    cards = [corners(patch, renderer) for patch in axes.patches if isinstance(patch, picture.FancyBboxPatch)]
    texts = [(text.get_text(), corners(text, renderer)) for text in axes.texts]
    for number, (name, place) in enumerate(texts):
        assert any(within(place, card) for card in cards), f"{name!r} is wider than its box"
        for card in cards:  # wholly inside, or apart
            apart = (place[1] <= card[0]).any() or (card[1] <= place[0]).any()
            assert apart or within(place, card), f"the edge of a box runs through {name!r}"
        for other, taken in texts[:number]:
            assert (place[1] <= taken[0]).any() or (taken[1] <= place[0]).any(), f"{name!r} lies on {other!r}"


def test_a_group_without_a_place_is_named():
    stray = dataclasses.replace(STAGES["bundle"], key="leaderboard", group="leaderboard")
    with pytest.raises(picture.PlacementError, match="no place for leaderboard"):
        picture.figure([*ALL, stray])


def test_an_arrow_without_a_way_is_named(monkeypatch):
    first, second, third = picture.BANDS
    monkeypatch.setattr(picture, "BANDS", (third, second, first))
    with pytest.raises(picture.PlacementError, match="no way for the arrow from"):
        picture.figure(ALL)


def test_more_assets_than_fit_are_refused(monkeypatch):
    monkeypatch.setattr(picture, "ROWS", 1)
    with pytest.raises(picture.PlacementError, match="too wide for one band"):
        picture.figure(ALL)


def test_the_readme_shows_the_graph_as_it_is_declared(tmp_path):
    picture.draw(tmp_path / "graph.png")
    shown, now = (matplotlib.image.imread(path) for path in (ROOT / "docs" / "graph.png", tmp_path / "graph.png"))
    hint = "draw it again: python -m orchestration.picture docs/graph.png"
    assert shown.shape == now.shape, hint
    assert np.mean(np.abs(shown - now).max(axis=2) > 0.1) < 0.001, hint
